// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"

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
	if s == nil {
		s = &service{interested: set{}, floor: map[int]wire.Generation{}}
		s.ID = id
		c.services[id] = s
	} else {
		c.touchService(s)
	}
	change(s)
	if s.home == nil && s.abroad == nil {
		c.drop(s)
		return
	}
	before := addressesOf(&s.Service)
	s.Service = s.join()
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
	c.dirtyServices.add(s.ID)
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

// touchService marks a service and all workers that want or run it for another look.
func (c *Core) touchService(s *service) {
	c.dirtyServices.add(s.ID)
	for w := range s.interested {
		c.dirtyPeers.add(w)
	}
	for _, x := range s.Copies {
		if w := c.workers[x.Worker]; w != nil {
			c.dirtyPeers.add(w.id)
			// A source that comes or goes concerns all that are in relation with its worker, whatever service they want there.
			if _, ok := w.endpoints[wire.InstanceKey{ServiceID: s.ID, Number: x.Number}]; ok {
				for id := range c.peersOf(w) {
					c.dirtyPeers.add(id)
				}
			}
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
