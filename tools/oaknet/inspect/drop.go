// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Kinds of counters.
const (
	CountsDrop = "drop"
	CountsPass = "pass"
)

// Drop is one counter of packets: those that were dropped for a reason, or that went a way.
type Drop struct {
	// Kind is drop or pass.
	Kind string `json:"kind"`
	// Reason is why packets were dropped, such as spoofed_source, or which way they went, such as to_tunnel.
	Reason string `json:"reason"`
	// Packets counts a super-packet once. Bytes are those of Ethernet frames.
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Drops lists the counters that are not 0: drops first, the most frequent first. With zeros it lists all.
func (r *Reader) Drops(zeros bool) ([]Drop, error) {
	var out []Drop
	for _, of := range []struct {
		kind  string
		table bpf.Table[uint32, []bpf.Counter]
		names func() (map[uint32]string, error)
	}{
		{CountsDrop, r.maps.Drops, bpf.DropReasons},
		{CountsPass, r.maps.Stats, bpf.StatNames},
	} {
		names, err := of.names()
		if err != nil {
			return nil, err
		}
		for n, name := range names {
			perCPU, _, err := of.table.Lookup(n)
			if err != nil {
				return nil, fmt.Errorf("read counter %s: %w", name, err)
			}
			d := Drop{Kind: of.kind, Reason: name}
			for _, c := range perCPU {
				d.Packets += c.Packets
				d.Bytes += c.Bytes
			}
			if zeros || d.Packets != 0 {
				out = append(out, d)
			}
		}
	}
	slices.SortFunc(out, func(a, b Drop) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Reason, b.Reason))
	})
	return out, nil
}
