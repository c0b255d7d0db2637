// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"net/netip"
	"slices"
)

// claim replaces the addresses that a service says are its own, and decides anew whose each of them is.
//
// Root gives each address once, but two services may name one for a while: a removed one of which a lost worker still has
// copies, and its successor; or one that was adopted on a worker's word, and the one that root gave the address to.
func (c *Core) claim(id string, before, after []netip.Addr) {
	for _, a := range before {
		if delete(c.claims[a], id); len(c.claims[a]) == 0 {
			delete(c.claims, a)
		}
	}
	for _, a := range after {
		if c.claims[a] == nil {
			c.claims[a] = set{}
		}
		c.claims[a].add(id)
	}
	for _, a := range slices.Concat(before, after) {
		c.decideOwner(a)
	}
}

// decideOwner gives an address to the claimant that root wants; between equals to the one that has it, or else to the lowest
// id.
func (c *Core) decideOwner(a netip.Addr) {
	had := c.addresses[a]
	best := ""
	for id := range c.claims[a] {
		if best == "" || c.outranks(id, best, had) {
			best = id
		}
	}
	if best == had {
		return
	}
	if best == "" {
		delete(c.addresses, a)
	} else {
		c.addresses[a] = best
	}
	for _, id := range []string{had, best} {
		if s := c.services[id]; s != nil {
			c.touchService(s)
			c.reinterest(s)
			c.touchService(s)
			c.touchName(subject{service: s.name}) // of which it is an answer, or no more
		}
	}
	for w := range c.wanted[a] {
		c.dirtyAnswers.add(w)
	}
	c.touchName(subject{address: a})
}

func (c *Core) outranks(id, other, had string) bool {
	if x, y := c.services[id].Wanted, c.services[other].Wanted; x != y {
		return x
	}
	if id == had || other == had {
		return id == had
	}
	return id < other
}

// owns reports whether nobody else has the address; an invalid one is nobody's.
func (c *Core) owns(service string, a netip.Addr) bool {
	return !a.IsValid() || c.addresses[a] == service
}
