// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// SetService makes a service known or replaces what is known of it in this cluster.
func (c *Core) SetService(s Service) {
	c.put(s.ID, func(have *service) { have.home = &s })
}

// RemoveService says that this cluster has nothing of a service any more. If no other has either, those who want it are told so at the next
// flush.
func (c *Core) RemoveService(id string) {
	if c.services[id] != nil {
		c.put(id, func(have *service) { have.home = nil })
	}
}

// put changes what is known of a service, and with it whose addresses and name are what.
func (c *Core) put(id string, change func(*service)) {
	s := c.services[id]
	fresh := s == nil
	if fresh {
		s = &service{interested: set{}, floor: map[int]wire.Generation{}}
		s.ID = id
		c.services[id] = s
	}
	abroad := s.abroad
	change(s)
	if s.home == nil && s.abroad == nil {
		c.touchService(s)
		c.drop(s)
		return
	}
	now := s.join()
	if !fresh && abroad == s.abroad && sameCopies(&s.Service, &now) {
		// Most of the time a copy has merely got on. Whom that concerns, and who has to do with whom, is as before.
		s.Service = now
		s.relevel()
		c.changed(id)
		return
	}
	if !fresh {
		c.touchService(s)
	}
	before := addressesOf(&s.Service)
	s.Service = now
	s.relevel()
	c.claim(id, before, addressesOf(&s.Service))
	c.claimName(s)
	c.reinterest(s)
	c.touchService(s)
}

func (c *Core) drop(s *service) {
	delete(c.services, s.ID)
	c.disclaimName(s)
	c.claim(s.ID, addressesOf(&s.Service), nil)
	for w := range s.interested {
		delete(c.workers[w].wants, s.ID)
	}
	c.changed(s.ID)
}

// reinterest recomputes who wants the service: its addresses may have changed, or have been asked for before it existed.
func (c *Core) reinterest(s *service) {
	for w := range s.interested {
		delete(c.workers[w].wants, s.ID)
	}
	s.interested = set{}
	for _, a := range addressesOf(&s.Service) {
		if c.addresses[a] != s.ID {
			continue
		}
		for w := range c.wanted[a] {
			s.interested.add(w)
			c.workers[w].wants.add(s.ID)
		}
	}
	if s.abroad == nil {
		return
	}
	for _, id := range s.abroad.Callers {
		if w := c.workers[id]; w != nil && w.abroad {
			s.interested.add(id)
			w.wants.add(s.ID)
		}
	}
}

// sameCopies reports whether two views of a service differ in no more than the states and loads of its copies.
func sameCopies(a, b *Service) bool {
	if a.JobName != b.JobName || a.Organization != b.Organization || a.Wanted != b.Wanted || !slices.Equal(a.Addresses, b.Addresses) ||
		!slices.Equal(a.Ports, b.Ports) {
		return false
	}
	return slices.EqualFunc(a.Copies, b.Copies, func(x, y Copy) bool {
		x.State, x.Load, x.at = y.State, y.Load, y.at
		return x == y
	})
}

// touchService marks a service and all workers that want or run it for another look.
func (c *Core) touchService(s *service) {
	c.changed(s.ID)
	for w := range s.interested {
		c.dirtyPeers.add(w)
	}
	for i := range s.Copies {
		if id := s.Copies[i].Worker; c.workers[id] != nil {
			c.dirtyPeers.add(id)
			// A source that comes or goes concerns all that are in relation with its worker, whatever service they want there.
			c.dirtyEntries.add(id)
		}
	}
}

// addressesOf returns all addresses that lead to the service: its own and its instances'.
func addressesOf(s *Service) []netip.Addr {
	var all []netip.Addr
	add := func(a netip.Addr) {
		if a.IsValid() {
			all = append(all, a)
		}
	}
	for _, a := range s.Addresses {
		add(a.Address)
	}
	for _, c := range s.Copies {
		add(c.InstanceIP)
		add(c.InstanceIPv6)
	}
	return all
}
