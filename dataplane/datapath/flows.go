// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// How long a flow without a packet in either direction is kept.
const (
	// EstablishedTCP is RFC 5382's least, 2 h 4 min.
	EstablishedTCP = 2*time.Hour + 4*time.Minute
	// EstablishedUDP is above RFC 4787's least of 2 min.
	EstablishedUDP = 3 * time.Minute
	// HalfOpen is for flows that only one side has taken part in, and for those that have ended.
	HalfOpen = time.Minute
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

func timeout(k bpf.FlowKey, f bpf.Flow) time.Duration {
	switch {
	case f.Flags&bpf.FlowEstablished == 0 || f.Flags&bpf.FlowClosed != 0:
		return HalfOpen
	case k.Proto == unix.IPPROTO_TCP:
		return EstablishedTCP
	default:
		return EstablishedUDP
	}
}

// Sweep removes flows that were idle in both directions for longer than their time-out. It is to be called every few seconds; while
// nobody does, flows that end by FIN or RST still leave the map of established ones by themselves.
func (d *Datapath) Sweep(ctx context.Context) error {
	return sweep(ctx, d.maps, monotonic())
}

func sweep(ctx context.Context, m *bpf.Maps, now time.Duration) error {
	var errs []error
	table := m.Flows()
	var err error
	for key, flow := range table.All(&err) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if now-flow.LastSeen < timeout(key, flow) {
			continue
		}
		over, lerr := idle(table, key, now)
		errs = append(errs, lerr)
		if over {
			errs = append(errs, table.Delete(key), table.Delete(key.Reverse(flow)))
		}
	}
	errs = append(errs, err)
	return errors.Join(errs...)
}

// idle looks again, at both directions: since the entry was listed a packet may have come, or a new flow taken its place.
func idle(table bpf.FlowTable, key bpf.FlowKey, now time.Duration) (bool, error) {
	flow, ok, err := table.Lookup(key)
	if err != nil || !ok {
		return false, err
	}
	limit := timeout(key, flow)
	if now-flow.LastSeen < limit {
		return false, nil
	}
	reverse, ok, err := table.Lookup(key.Reverse(flow))
	return err == nil && (!ok || now-reverse.LastSeen >= limit), err
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
