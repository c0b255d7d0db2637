// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Directions of a flow, as this worker sees its opening.
const (
	// FlowOut goes from an instance here to one on another worker.
	FlowOut = "out"
	// FlowIn comes from an instance on another worker to one here.
	FlowIn = "in"
	// FlowLocal stays on this worker.
	FlowLocal = "local"
)

// Flow is one flow, both directions together. Ports are 0 for ICMP.
type Flow struct {
	Protocol  string `json:"protocol"`  // tcp, udp or icmp
	Direction string `json:"direction"` // out, in or local
	// Source and Destination are those of the opener's packets as they come to this worker.
	Source          netip.Addr `json:"source"`
	SourcePort      uint16     `json:"source_port"`
	Destination     netip.Addr `json:"destination"`
	DestinationPort uint16     `json:"destination_port"`
	// The translated ones are those with which they go on: the caller's Instance IP, the chosen instance's namespace IP.
	TranslatedSource          netip.Addr `json:"translated_source"`
	TranslatedSourcePort      uint16     `json:"translated_source_port"`
	TranslatedDestination     netip.Addr `json:"translated_destination"`
	TranslatedDestinationPort uint16     `json:"translated_destination_port"`
	// ICMPID is the identifier of an echo.
	ICMPID uint16 `json:"icmp_id"`
	// State is syn-sent, syn-received, established, closing or closed of TCP, new or assured of others.
	State string `json:"state"`
	// Established says that both sides have taken part, and that no flood of new flows can take its place.
	Established bool `json:"established"`
	// Peer is the index of the other worker, WorkerID its id; 0 and empty for a local flow.
	Peer     uint32 `json:"peer"`
	WorkerID string `json:"worker_id"`
	Tag      uint32 `json:"tag"`
	// ServiceID and Number are the instance that the flow was opened to; empty and 0 once it is gone.
	ServiceID string `json:"service_id"`
	Number    uint32 `json:"instance_number"`
	// Age and Idle are in seconds: since it was opened, and since its last packet in either direction.
	Age  float64 `json:"age_seconds"`
	Idle float64 `json:"idle_seconds"`
	// Tx is from the opener, Rx towards it. A super-packet counts as its segments; bytes are those of Ethernet frames.
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
	// Missing is forward or reply where the entry of that direction is gone, empty as a rule.
	Missing string `json:"missing"`

	keys [2]bpf.FlowKey // of both directions
}

func compareFlows(a, b Flow) int {
	return cmp.Or(
		cmp.Compare(a.Protocol, b.Protocol), a.Source.Compare(b.Source), a.Destination.Compare(b.Destination),
		cmp.Compare(a.DestinationPort, b.DestinationPort), cmp.Compare(a.SourcePort, b.SourcePort), cmp.Compare(a.ICMPID, b.ICMPID),
	)
}

// Flows lists all flows by protocol, addresses and ports.
func (r *Reader) Flows() ([]Flow, error) {
	entries, err := r.conntrack()
	if err != nil {
		return nil, err
	}
	j, err := r.joiner()
	if err != nil {
		return nil, err
	}
	out := make([]Flow, 0, len(entries)/2)
	for key, entry := range entries {
		reverse := key.Reverse(entry)
		other, both := entries[reverse]
		switch {
		case !isReply(entry):
			f := j.flow(key, entry, other)
			f.keys = [2]bpf.FlowKey{key, reverse}
			if !both {
				f.Missing = "reply"
			}
			out = append(out, f)
		case !both:
			// Only the reply's entry is left; what it says of the other direction has to do.
			f := j.flow(reverse, forwardOf(key, entry), entry)
			f.keys = [2]bpf.FlowKey{reverse, key}
			f.Missing = "forward"
			out = append(out, f)
		}
	}
	slices.SortFunc(out, compareFlows)
	return out, nil
}

// Forget removes a flow, both directions, so that its next packet is judged as if there had been none before it.
func (r *Reader) Forget(f Flow) error {
	var errs []error
	for _, key := range f.keys {
		errs = append(errs, r.maps.Flows().Delete(key))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove flow: %w", err)
	}
	return nil
}
