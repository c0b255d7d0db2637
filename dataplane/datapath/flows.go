// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Uses counts what conntrack entries still need: by peer index, by source address of peers' instances and by service address.
type Uses struct {
	Peers   map[uint32]int
	Sources map[bpf.Addr]int
	VIPs    map[bpf.Addr]int
	// Backends counts by backend index.
	Backends map[uint32]int
}

func monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // cannot fail; nothing is expired then
	}
	return time.Duration(ts.Nano())
}

// FlowUses returns what the flows of now still need.
func (d *Datapath) FlowUses() (Uses, error) {
	u := Uses{Peers: map[uint32]int{}, Sources: map[bpf.Addr]int{}, VIPs: map[bpf.Addr]int{}, Backends: map[uint32]int{}}
	var errs []error
	table := d.maps.Flows()
	var err error
	for key, flow := range table.All(&err) {
		if peer := key.Peer(flow); peer != 0 {
			u.Peers[peer]++
		}
		if flow.Flags&bpf.FlowReply != 0 {
			continue // its forward direction speaks for both
		}
		if flow.Flags&bpf.FlowRemote != 0 {
			u.Sources[key.Src]++
		} else {
			u.VIPs[key.Dst]++
			u.Backends[flow.Backend]++
		}
	}
	errs = append(errs, err)
	return u, errors.Join(errs...)
}
