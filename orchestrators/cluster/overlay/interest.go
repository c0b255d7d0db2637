// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// SetInterest takes in what a worker wants and returns what has to be said at once, in order: to the workers that run what is
// newly wanted who their new peer is, then to the worker its peers, the routes it lacks, and an answer for each address.
// Names it is told as far as it does not hold the answer. It reports whether the set of addresses changed.
func (c *Core) SetInterest(id string, m wire.NetInterest, now time.Time) (out []Message, changed bool) {
	w := c.workers[id]
	if w == nil || w.abroad || m.Compare(w.heardInterest) < 0 {
		return nil, false
	}
	w.heardInterest = m.Stamp
	w.peersSent.changes, w.takesChanges = m.PeerChanges, m.RouteChanges
	if len(m.Addresses) > MaxInterest {
		m.Addresses = m.Addresses[:MaxInterest]
	}
	before := c.peersOf(w)
	held, changed := c.want(w, m.Addresses)
	c.wantNames(w, m.Names)
	after := c.peersOf(w)
	for peer := range before {
		if !after.has(peer) {
			c.dirtyPeers.add(peer)
			c.dirtyPeers.add(id)
		}
	}
	for _, peer := range slices.Sorted(maps.Keys(after)) {
		if !before.has(peer) && c.workers[peer] != nil {
			out = append(out, c.introduce(c.workers[peer], id)...)
		}
	}
	out = append(out, c.sendPeers(w, m.Peers != w.peersSent.stamp)...)
	for _, s := range slices.Sorted(maps.Keys(w.wants)) {
		out = append(out, c.sendRoutes(w, s, held[s], now)...)
	}
	clear(w.answers)
	return append(out, c.sendAnswers(w, now)...), changed
}

// RestoreInterest takes in what a worker wanted when it was last heard of, without answering.
func (c *Core) RestoreInterest(id string, addresses []wire.InterestAddress) {
	if w := c.workers[id]; w != nil && !w.abroad {
		c.want(w, addresses[:min(len(addresses), MaxInterest)])
	}
}

// want replaces the set of addresses that w wants. It returns, for each wanted service, the stamps that w says it holds.
func (c *Core) want(w *worker, addresses []wire.InterestAddress) (held map[string][]wire.Stamp, changed bool) {
	fresh := make(map[netip.Addr]struct{}, len(addresses))
	held = map[string][]wire.Stamp{}
	for _, a := range addresses {
		if !a.Address.IsValid() {
			continue
		}
		fresh[a.Address] = struct{}{}
		if s, ok := c.addresses[a.Address]; ok {
			held[s] = append(held[s], a.Held)
		}
	}
	for _, a := range w.interest {
		if _, ok := fresh[a]; ok {
			continue
		}
		changed = true
		delete(w.answers, a)
		if delete(c.wanted[a], w.id); len(c.wanted[a]) == 0 {
			delete(c.wanted, a)
		}
	}
	changed = changed || len(fresh) != len(w.interest)
	w.interest = slices.SortedFunc(maps.Keys(fresh), netip.Addr.Compare)
	for a := range fresh {
		if c.wanted[a] == nil {
			c.wanted[a] = set{}
		}
		c.wanted[a].add(w.id)
	}
	for s := range w.wants {
		delete(c.services[s].interested, w.id)
	}
	clear(w.wants)
	for s := range held {
		w.wants.add(s)
		c.services[s].interested.add(w.id)
	}
	for s := range w.routesSent {
		if !w.wants.has(s) {
			w.forget(s)
		}
	}
	return held, changed
}

// forget forgets which routes of a service w was told. It may still hold them: what follows has to be newer.
func (w *worker) forget(service string) {
	if s := w.routesSent[service].stamp; s.After(w.forgotten) {
		w.forgotten = s
	}
	delete(w.routesSent, service)
}
