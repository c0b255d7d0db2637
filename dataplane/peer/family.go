// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"net/netip"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// silentAfter is how many greetings in a row a peer does not answer, a third of a second, until an address of the other family is
// preferred to the one that it was located at.
const silentAfter = 6

// elsewhereKept is how long an address at which a peer does not answer any more is taken for its own, if packets do not go there.
const elsewhereKept = 4 * refreshEvery

// elsewhere is an address of a peer of the other family than the one that packets go to. Packets from there are taken: the peer may
// prefer it, and two workers need not agree which of the ways between them to use.
type elsewhere struct {
	key       bpf.PeerAddr // in peer_addrs; zero if there is none
	ipv4      bool
	confirmed time.Time
}

func isIPv4(a bpf.Addr) bool { return a.Netip().Is4() }

// takes reports whether packets of the peer are taken from an address of that family: it has been confirmed.
func (r *record) takes(of netip.Addr) bool {
	return r.located() && r.address().Addr().Is4() == of.Is4() || r.other.key != (bpf.PeerAddr{}) && r.other.ipv4 == of.Is4()
}

// prefers reports whether packets to a peer that was located should go to an address of the other family instead, at which it has just
// answered. What comes first is that it answers, then that no NAT is between, which may forget; then IPv4, whose headers are shorter.
func (r *record) prefers(from netip.AddrPort, nat, met bool) bool {
	switch {
	case r.met() && !met:
		return false // it does not take our packets there yet, and does where it is
	case r.attempt >= silentAfter:
		return true
	case nat != r.nat:
		return r.nat
	}
	return from.Addr().Is4()
}

// confirmElsewhere has packets of a peer be taken from another address than the one that packets go to, of the other family.
func (g *Greeter) confirmElsewhere(p *record, key bpf.PeerAddr, ipv4 bool, now time.Time) error {
	if p.other.key != key {
		if err := g.leaveElsewhere(p); err != nil {
			return err
		}
	}
	if err := g.take(p, key); err != nil {
		return err
	}
	p.other = elsewhere{key, ipv4, now}
	return nil
}

// leaveElsewhere has packets be taken no more from where the peer was confirmed too.
func (g *Greeter) leaveElsewhere(p *record) error {
	if p.other.key == (bpf.PeerAddr{}) {
		return nil
	}
	if err := g.leaveAddress(p.index, p.other.key); err != nil {
		return err
	}
	p.other = elsewhere{}
	return nil
}

// forgetElsewhere does so if the peer has not answered there for long.
func (g *Greeter) forgetElsewhere(p *record, now time.Time) error {
	if now.Sub(p.other.confirmed) < elsewhereKept {
		return nil
	}
	return g.leaveElsewhere(p)
}

// recoverElsewhere takes over where an earlier NetManager has confirmed the peer too: it may be sending from there. It reports whether the
// address can be that.
func (r *record) recoverElsewhere(key bpf.PeerAddr, now time.Time) bool {
	if r == nil || r.other.key != (bpf.PeerAddr{}) || isIPv4(key.Addr) == r.address().Addr().Is4() {
		return false
	}
	r.other = elsewhere{key, isIPv4(key.Addr), now}
	return true
}
