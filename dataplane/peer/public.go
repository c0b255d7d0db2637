// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"net/netip"
	"slices"
	"time"
)

// maxPublic bounds the addresses of this worker that others are told of.
const maxPublic = 2

// Public lists where others see this worker, if that is not where it believes to be: the observer's word first, then that of peers,
// which of several NATs is of another one.
func (g *Greeter) Public() []netip.AddrPort {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.public)
}

// SubscribePublic has f called when the answer of [Greeter.Public] has changed. It is called without locks held.
func (g *Greeter) SubscribePublic(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.onPublic = append(g.onPublic, f)
}

// notice takes in where somebody sees this worker. Where that has changed the NAT has, and whoever else has to do with it is greeted
// from the new address at once.
func (g *Greeter) notice(c *conversation, seen netip.AddrPort, now time.Time) {
	if !seen.IsValid() || !seen.Addr().IsValid() {
		return
	}
	v := &c.seen[family(seen.Addr())]
	before := v.at
	v.confirm(seen, now)
	if before == seen {
		if g.isObserver(c) {
			g.judgeNAT()
		}
		return
	}
	if before.IsValid() {
		g.log.Info("this worker is seen at another address", "now", seen)
		for _, p := range g.byID {
			if &p.conversation != c && p.nat {
				p.greetNow()
			}
		}
		if o := g.observer; o != nil && !g.isObserver(c) {
			o.greetNow()
		}
		g.wake()
	}
	g.judgeNAT()
	g.updatePublic()
}

// updatePublic collects the addresses anew.
func (g *Greeter) updatePublic() {
	var now []netip.AddrPort
	add := func(c *conversation) {
		for _, v := range c.seen {
			if seen := v.at; seen.IsValid() && seen != g.own(seen.Addr()) && len(now) < maxPublic && !slices.Contains(now, seen) {
				now = append(now, seen)
			}
		}
	}
	if g.observer != nil {
		add(&g.observer.conversation)
	}
	// In the order of their indices, lest the list change although nothing did.
	peers := make([]*record, 0, len(g.byID))
	for _, p := range g.byID {
		peers = append(peers, p)
	}
	slices.SortFunc(peers, func(a, b *record) int { return int(a.index) - int(b.index) })
	for _, p := range peers {
		add(&p.conversation)
	}
	if slices.Equal(now, g.public) {
		return
	}
	g.log.Info("this worker is seen from outside", "at", now)
	g.public, g.publicChanged = now, true
}

// forgetSeen is for a change of the own address: what others saw was of the one before.
func (g *Greeter) forgetSeen() {
	for _, p := range g.byID {
		p.seen = [2]view{}
	}
	if g.observer != nil {
		g.observer.seen, g.observer.seenOther = [2]view{}, view{}
	}
	g.symmetric = false
	g.updatePublic()
}
