// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// MaxExported bounds how many addresses, and how many names, a cluster asks root for.
const MaxExported = 16384

// Export is what other clusters have to know of this one, by root. Nothing of it is of workers that no other cluster has to do with.
type Export struct {
	Workers map[string]wire.NetPeer
	Wants   map[netip.Addr]wire.OverlayWant
	Names   map[wire.NameKey]struct{}
	Offers  map[string]wire.OverlayOffer
	// Settled says that it is all there is. Else a worker that has not been heard of since this process started may have more of it.
	Settled bool
}

// With adds what e lacks of o.
func (e Export) With(o Export) Export {
	merged := Export{Workers: maps.Clone(e.Workers), Wants: maps.Clone(e.Wants), Names: maps.Clone(e.Names), Offers: maps.Clone(e.Offers), Settled: e.Settled}
	add(merged.Workers, o.Workers)
	add(merged.Wants, o.Wants)
	add(merged.Names, o.Names)
	add(merged.Offers, o.Offers)
	return merged
}

func add[K comparable, V any](to, from map[K]V) {
	for k, v := range from {
		if _, ok := to[k]; !ok {
			to[k] = v
		}
	}
}

// Export returns what root is to know now.
func (c *Core) Export(now time.Time) Export {
	e := Export{Workers: map[string]wire.NetPeer{}, Wants: map[netip.Addr]wire.OverlayWant{}, Names: map[wire.NameKey]struct{}{},
		Offers: map[string]wire.OverlayOffer{}, Settled: !c.unsure(now)}
	if c.abroad.alone {
		return e
	}
	for a, by := range c.wanted {
		if len(e.Wants) >= MaxExported {
			break
		}
		if !c.ownAlone(c.addresses[a]) {
			e.Wants[a] = wire.OverlayWant{Address: a, Workers: slices.Sorted(maps.Keys(by))}
		}
	}
	for s := range c.askers {
		switch {
		case s.address.IsValid():
			if _, ok := e.Wants[s.address]; !ok && !c.ownAlone(c.addresses[s.address]) && len(e.Wants) < MaxExported {
				e.Wants[s.address] = wire.OverlayWant{Address: s.address}
			}
		case !c.ownAlone(c.nameOwner(s.service)) && len(e.Names) < MaxExported:
			e.Names[s.service] = struct{}{}
		}
	}
	for id, s := range c.services {
		if s.abroad != nil && s.abroad.Offer {
			if c.held(s, now) {
				e.Settled = false
				continue
			}
			e.Offers[id] = wire.OverlayOffer{ServiceID: id, Instances: c.offered(s)}
		}
	}
	c.exportWorkers(&e)
	return e
}

// ownAlone reports whether root need not be asked for a service: it wants instances of it here, and nowhere else.
func (c *Core) ownAlone(id string) bool {
	s := c.services[id]
	return s != nil && s.home != nil && s.home.Wanted && (s.abroad == nil || !s.abroad.Shared)
}

// offered returns the instances of a service that can be reached here.
func (c *Core) offered(s *service) []wire.RouteInstance {
	list := []wire.RouteInstance{}
	for _, x := range c.routable(s) {
		if !x.abroad {
			list = append(list, c.route(s, x))
		}
	}
	slices.SortFunc(list, func(a, b wire.RouteInstance) int { return cmp.Compare(a.Number, b.Number) })
	return list
}

// exportWorkers adds the workers that wants and offers name, as far as others can be told how to greet them.
func (c *Core) exportWorkers(e *Export) {
	add := func(id string) {
		if w := c.workers[id]; w != nil && w.publicKey != nil {
			if _, ok := e.Workers[id]; !ok {
				e.Workers[id] = wire.NetPeer{WorkerID: id, PublicKey: w.publicKey, Subnets: w.subnets, Outer: w.outer, NAT: w.nat, Sources: c.sources(w)}
			}
		}
	}
	for _, want := range e.Wants {
		for _, id := range want.Workers {
			add(id)
		}
	}
	for _, o := range e.Offers {
		for _, x := range o.Instances {
			add(x.Peer)
		}
	}
}
