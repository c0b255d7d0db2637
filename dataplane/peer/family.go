// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"net/netip"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// elsewhereKept is how long an address that a peer does not answer at any more is taken for its own, if packets do not go there.
const elsewhereKept = 4 * refreshEvery

// prefers reports whether packets to a peer that was located should go to another address instead, at which it has just answered.
// Between the families IPv4 has it, whose headers are the shorter ones, as long as the peer answers there.
func (r *record) prefers(from netip.AddrPort, h hello, now time.Time) bool {
	if from.Addr().Is4() == r.address().Addr().Is4() {
		return h.own == from || now.Sub(r.confirmed) >= addressKept
	}
	if r.met() && !h.met {
		return false // it does not take our packets there yet, and does where it is
	}
	return from.Addr().Is4() || r.attempt >= silentAfter
}

// confirmElsewhere has packets of a peer be taken from another address than the one that packets go to. There is one of the other family
// at most: of the same family, the peer's first choice counts.
func (g *Greeter) confirmElsewhere(p *record, at netip.AddrPort, now time.Time) error {
	if at.Addr().Is4() == p.address().Addr().Is4() {
		return nil
	}
	if before := p.other.at; before.IsValid() && before.Addr() != at.Addr() {
		if err := g.leaveElsewhere(p); err != nil {
			return err
		}
	}
	if err := g.own(p, bpf.AddrFrom(at.Addr())); err != nil {
		return err
	}
	p.other = elsewhere{at, now}
	return nil
}

// leaveElsewhere has packets be taken no more from where the peer was confirmed too.
func (g *Greeter) leaveElsewhere(p *record) error {
	if !p.other.at.IsValid() {
		return nil
	}
	if err := g.leaveAddress(p.index, bpf.AddrFrom(p.other.at.Addr())); err != nil {
		return err
	}
	p.other = elsewhere{}
	return nil
}

// forgetElsewhere leaves the addresses at which peers have not answered for long.
func (g *Greeter) forgetElsewhere(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.byID {
		if p.other.at.IsValid() && now.Sub(p.other.confirmed) >= elsewhereKept {
			if err := g.leaveElsewhere(p); err != nil {
				g.log.Error("cannot remove a second address of a peer; tried again", "peer", bpf.FormatID(p.id), "error", err)
			}
		}
	}
}

// recoverElsewhere takes over where an earlier NetManager has confirmed the peer too: it may be sending from there. It reports whether the
// address can be that.
func (r *record) recoverElsewhere(addr netip.Addr, now time.Time) bool {
	if r == nil || r.other.at.IsValid() || addr.Is4() == r.address().Addr().Is4() {
		return false
	}
	r.other = elsewhere{netip.AddrPortFrom(addr, r.kernel.Port), now}
	return true
}
