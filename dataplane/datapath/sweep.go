// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// How long a flow without a packet in either direction is kept. Where RFCs ask for a least, it is that of those about NAT, which end hosts go by.
const (
	// EstablishedTCP is the least of RFC 5382, REQ-5.
	EstablishedTCP = 2*time.Hour + 4*time.Minute
	// ClosingTCP is for connections of which one side has ended: the least of RFC 5382, REQ-5, for what it calls transitory.
	ClosingTCP = 4 * time.Minute
	// HalfOpenTCP is how long Linux goes on answering an opener: a SYN that comes again opens the flow anew.
	HalfOpenTCP = time.Minute
	// ClosedTCP is for what TIME-WAIT is for, as long as in Linux, and for flows whose instance is gone.
	ClosedTCP = time.Minute
	// AssuredUDP is above the least of RFC 4787, REQ-5, which is 2 min.
	AssuredUDP = 3 * time.Minute
	// OneWayUDP is for datagrams that nobody has answered: the next one opens the flow anew.
	OneWayUDP = 30 * time.Second
	// Echo is the least of RFC 5508, REQ-2.
	Echo = time.Minute
)

// timeout is that of one direction. A flow ends with the direction that is the first to.
func timeout(k bpf.FlowKey, f bpf.Flow) time.Duration {
	established := f.Flags&bpf.FlowEstablished != 0
	switch {
	case k.Proto == unix.IPPROTO_TCP && f.Flags&(bpf.FlowClosed|bpf.FlowDead) != 0:
		return ClosedTCP
	case k.Proto == unix.IPPROTO_TCP && !established:
		return HalfOpenTCP
	case k.Proto == unix.IPPROTO_TCP && f.Seen&(bpf.SeenFIN|bpf.SeenRST) != 0:
		return ClosingTCP
	case k.Proto == unix.IPPROTO_TCP:
		return EstablishedTCP
	case k.Proto == unix.IPPROTO_UDP && established:
		return AssuredUDP
	case k.Proto == unix.IPPROTO_UDP:
		return OneWayUDP
	}
	return Echo
}

// Sweep removes flows that were idle in both directions for longer than their time-out, and corrects how many each instance and each endpoint is said to have.
// It is to be called every few seconds; while nobody does, flows that end by FIN or RST still make room by themselves.
func (d *Datapath) Sweep(ctx context.Context) error {
	return sweep(ctx, d.maps, monotonic())
}

func sweep(ctx context.Context, m *bpf.Maps, now time.Duration) error {
	before, err := actives(m)
	if err != nil {
		return err
	}
	charged, err := sharesOf(m)
	if err != nil {
		return err
	}
	counted, shares := map[uint32]uint32{}, map[uint32]bpf.Share{}
	var errs []error
	table := m.Flows()
	var listed error
	for key, flow := range table.All(&listed) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if now-flow.LastSeen >= timeout(key, flow) {
			over, err := idle(table, key, now)
			errs = append(errs, err)
			if over {
				errs = append(errs, table.Delete(key), table.Delete(key.Reverse(flow)))
				continue
			}
		}
		if flow.Backend != 0 && flow.Flags&bpf.FlowClosed == 0 {
			counted[flow.Backend]++
		}
		if ifindex, ok := chargedTo(key, flow); ok {
			s := shares[ifindex]
			s.Flows[family(key)]++
			shares[ifindex] = s
		}
	}
	if listed != nil {
		return errors.Join(append(errs, listed)...) // what was not listed was not counted
	}
	return errors.Join(append(errs, setActives(m, before, counted), setShares(m, charged, shares))...)
}

// idle looks again, at both directions: since the entry was listed a packet may have come, or a new flow taken its place.
func idle(table bpf.FlowTable, key bpf.FlowKey, now time.Duration) (bool, error) {
	flow, ok, err := table.Lookup(key)
	if err != nil || !ok {
		return false, err
	}
	reverse, both, err := table.Lookup(key.Reverse(flow))
	if err != nil {
		return false, err
	}
	limit, quiet := timeout(key, flow), now-flow.LastSeen
	if both {
		limit, quiet = min(limit, timeout(key, reverse)), min(quiet, now-reverse.LastSeen)
	}
	return quiet >= limit, nil
}

// actives returns the counts of flows of those places in the map of backends that have any.
func actives(m *bpf.Maps) (map[uint32]uint32, error) {
	counts := map[uint32]uint32{}
	var err error
	for index, l := range m.Loads.All(&err) {
		if l.Active != 0 {
			counts[index] = l.Active
		}
	}
	return counts, err
}

// setActives brings the counts to what was found. The programs go on counting meanwhile: by how much a count has changed since before is taken
// to be what they have seen and the sweep has not. A flow that both have seen is put right by the next sweep.
func setActives(m *bpf.Maps, before, counted map[uint32]uint32) error {
	var errs []error
	for index, n := range before {
		if _, ok := counted[index]; !ok && n != 0 {
			counted[index] = 0
		}
	}
	for index, n := range counted {
		l, ok, err := m.Loads.Lookup(index)
		if err != nil || !ok {
			errs = append(errs, err)
			continue
		}
		want := max(int64(n)+int64(l.Active)-int64(before[index]), 0)
		if want == int64(l.Active) {
			continue
		}
		l.Active = uint32(want)
		errs = append(errs, m.Loads.Put(index, l))
	}
	return errors.Join(errs...)
}
