// SPDX-License-Identifier: Apache-2.0

package model

import "slices"

// usable reports whether flows of a family may go to a backend.
func (w *World) usable(index uint32, fam int) bool {
	b, ok := w.Backends[index]
	if !ok || b.Gone || !b.NS[fam].IsValid() {
		return false
	}
	return b.Peer == 0 || w.Peers[b.Peer].Up
}

// choose returns the backend of a new flow, or a drop's reason.
func (w *World) choose(key Key, a Address, fam int) (uint32, string) {
	switch a.Policy {
	case Refused:
		return 0, "no_service"
	case Instance:
		if !w.usable(a.Backend, fam) {
			return 0, "no_backend"
		}
		return a.Backend, ""
	case RoundRobin:
		if index := w.nextInTurn(a.Service, fam); index != 0 {
			return index, ""
		}
		return 0, "no_backend"
	}
	var all []uint32
	for _, index := range w.Sets[a.Service] {
		if w.usable(index, fam) {
			all = append(all, index)
		}
	}
	if len(w.Sets[a.Service]) > 0 {
		w.Turns[a.Service]++
	}
	if len(all) == 0 {
		return 0, "no_backend"
	}
	allowed := cheapest(all, w.closeness, nearly)
	if a.Policy == Underutilized {
		allowed = cheapest(all, func(index uint32) uint64 { return w.busyness(index, 0) }, equal)
		// The clock may have halved what was given since it was looked at.
		for _, index := range cheapest(all, func(index uint32) uint64 { return w.busyness(index, 1) }, equal) {
			if !slices.Contains(allowed, index) {
				allowed = append(allowed, index)
			}
		}
	}
	if len(allowed) == 1 {
		return allowed[0], ""
	}
	return w.Pick(key, allowed), ""
}

// cheapest returns those that are as good as the best.
func cheapest(all []uint32, cost func(uint32) uint64, same func(cost, best uint64) bool) (out []uint32) {
	best := cost(all[0])
	for _, index := range all[1:] {
		best = min(best, cost(index))
	}
	for _, index := range all {
		if same(cost(index), best) {
			out = append(out, index)
		}
	}
	return out
}

// nextInTurn gives each its turn; who cannot be reached has had it.
func (w *World) nextInTurn(service uint32, fam int) uint32 {
	set := w.Sets[service]
	for n := range uint32(len(set)) {
		index := set[(w.Turns[service]+n)%uint32(len(set))]
		if w.usable(index, fam) {
			w.Turns[service] += n + 1
			return index
		}
	}
	if len(set) > 0 {
		w.Turns[service]++
	}
	return 0
}

// unmeasured is more than any round trip.
const unmeasured = 1 << 30

// closeness: on this worker, then by round trip, then by distance.
func (w *World) closeness(index uint32) uint64 {
	b := w.Backends[index]
	switch {
	case b.Peer == 0:
		return 0
	case b.RTT > 0:
		return uint64(b.RTT) + 1
	}
	return unmeasured + uint64(b.Distance)
}

// nearly: round trips that are within an eighth are as good, whichever was looked at first.
func nearly(cost, best uint64) bool {
	if best == 0 || cost >= unmeasured {
		return cost == best
	}
	return cost-cost/8 <= best
}

// busyness: flows that are open, or were given lately if those are more, weighted with what the instance reports.
func (w *World) busyness(index uint32, halved int) uint64 {
	return (uint64(max(w.Active[index], w.Given[index]>>halved)) + 1) * (1000 + 3*uint64(w.Backends[index].Load))
}

func equal(cost, best uint64) bool { return cost == best }
