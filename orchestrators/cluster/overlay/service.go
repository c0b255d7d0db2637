// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// SetService makes a service known or replaces what is known of it.
func (c *Core) SetService(s Service) {
	old := c.services[s.ID]
	if old == nil {
		old = &service{interested: set{}, floor: map[int]wire.Generation{}}
		c.services[s.ID] = old
	} else {
		c.touchService(old)
	}
	before := addressesOf(&old.Service)
	old.Service = s
	old.relevel()
	c.claim(s.ID, before, addressesOf(&s))
	c.claimName(old)
	c.reinterest(old)
	c.touchService(old)
}

// RemoveService says that a service exists no more. Those who want it are told so at the next flush.
func (c *Core) RemoveService(id string) {
	s := c.services[id]
	if s == nil {
		return
	}
	c.touchService(s)
	delete(c.services, id)
	c.disclaimName(s)
	c.claim(id, addressesOf(&s.Service), nil)
	for w := range s.interested {
		delete(c.workers[w].wants, id)
	}
	c.dirtyServices.add(id)
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
