// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// conntrack reads the entries of all flows.
func (r *Reader) conntrack() (map[bpf.FlowKey]bpf.Flow, error) {
	out := map[bpf.FlowKey]bpf.Flow{}
	var err error
	for key, entry := range r.maps.Flows().At(r.clock.Monotonic).All(&err) {
		out[key] = entry
	}
	if err != nil {
		return nil, fmt.Errorf("read conntrack: %w", err)
	}
	return out, nil
}

func isReply(f bpf.Flow) bool { return f.Flags&bpf.FlowReply != 0 }

// forwardOf makes up the opener's direction from the reply's: what arrives as a reply is what went out, turned round.
func forwardOf(reply bpf.FlowKey, f bpf.Flow) bpf.Flow {
	var flags uint16
	to := reply.From
	switch {
	case f.Flags&bpf.FlowRemote != 0:
		flags, to = bpf.FlowTunnel, reply.From&^bpf.FromPeer
	case f.Flags&bpf.FlowTunnel != 0:
		flags = bpf.FlowRemote
	}
	return bpf.Flow{
		Src: reply.Dst, Dst: reply.Src, Sport: reply.Dport, Dport: reply.Sport,
		Flags: flags | f.Flags&(bpf.FlowRewrite|bpf.FlowEstablished), To: to, Tag: f.Tag,
		Created: f.Created, LastSeen: f.LastSeen,
	}
}

// hostPort reads a port that maps hold in network order.
func hostPort(be uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], be)
	return binary.BigEndian.Uint16(b[:])
}

func protocolName(p uint8) string {
	switch p {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		return "icmp"
	}
	return fmt.Sprintf("protocol-%d", p)
}

func flowDirection(forward bpf.Flow) string {
	switch {
	case forward.Flags&bpf.FlowRemote != 0:
		return FlowIn
	case forward.Flags&bpf.FlowTunnel != 0:
		return FlowOut
	}
	return FlowLocal
}

// flowState judges as the programs do.
func flowState(proto uint8, forward, reply bpf.Flow) string {
	established := forward.Flags&bpf.FlowEstablished != 0
	if proto != unix.IPPROTO_TCP {
		if established || reply.Packets > 0 {
			return "assured"
		}
		return "new"
	}
	either, both := forward.Seen|reply.Seen, forward.Seen&reply.Seen
	switch {
	case either&bpf.SeenRST != 0, both&bpf.SeenFIN != 0:
		return "closed"
	case either&bpf.SeenFIN != 0:
		return "closing"
	case established:
		return "established"
	case reply.Seen&bpf.SeenSYN != 0:
		return "syn-received"
	}
	return "syn-sent"
}
