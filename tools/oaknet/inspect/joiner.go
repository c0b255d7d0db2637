// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"github.com/oakestra/oakestra-ebpf/bpf"
)

// joiner knows what flows refer to.
type joiner struct {
	routes
	clock   Clock
	locally map[bpf.Addr]bpf.Endpoint // by namespace address
}

func (r *Reader) joiner() (*joiner, error) {
	t, err := r.routes()
	if err != nil {
		return nil, err
	}
	endpoints, err := r.endpoints()
	if err != nil {
		return nil, err
	}
	j := &joiner{routes: t, clock: r.clock, locally: map[bpf.Addr]bpf.Endpoint{}}
	for _, e := range endpoints {
		for _, a := range e.Ns {
			if a != (bpf.Addr{}) {
				j.locally[a] = e
			}
		}
	}
	return j, nil
}

// flow joins the two directions of a flow, whose key is the forward one.
func (j *joiner) flow(key bpf.FlowKey, forward, reply bpf.Flow) Flow {
	peer := key.Peer(forward)
	f := Flow{
		Protocol: protocolName(key.Proto), Direction: flowDirection(forward), State: flowState(key.Proto, forward, reply),
		Source: key.Src.Netip(), Destination: key.Dst.Netip(),
		TranslatedSource: forward.Src.Netip(), TranslatedDestination: forward.Dst.Netip(),
		Established: forward.Flags&bpf.FlowEstablished != 0,
		Peer:        peer, WorkerID: bpf.FormatID(j.peers[peer].Id), Tag: forward.Tag,
		Age: j.clock.ago(forward.Created), Idle: j.clock.ago(max(forward.LastSeen, reply.LastSeen)),
		TxPackets: forward.Packets, TxBytes: forward.Bytes, RxPackets: reply.Packets, RxBytes: reply.Bytes,
	}
	if protocolName(key.Proto) == "icmp" {
		f.ICMPID = hostPort(key.Sport)
	} else {
		f.SourcePort, f.DestinationPort = hostPort(key.Sport), hostPort(key.Dport)
		f.TranslatedSourcePort, f.TranslatedDestinationPort = hostPort(forward.Sport), hostPort(forward.Dport)
	}
	f.ServiceID, f.Number = j.target(forward)
	return f
}

// target returns the instance that a flow was opened to, if it is still there.
func (j *joiner) target(forward bpf.Flow) (service string, number uint32) {
	if forward.Backend != 0 {
		b := j.backends[forward.Backend]
		if b.Slot != forward.Generation || b.Generation == 0 {
			return "", 0
		}
		return bpf.FormatID(j.services[b.Service].Id), b.Number
	}
	e := j.locally[forward.Dst]
	return bpf.FormatID(e.Service), e.Number
}
