// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// record is one other worker.
type record struct {
	id     [12]byte
	index  uint32
	kernel bpf.Peer // as the map has it
	wanted bool     // the latest list has it, or none was seen yet

	public []byte
	key    []byte // of the pair; nil until a list told the public key
	outer  []netip.AddrPort

	accepted  position // highest that was accepted from it
	sequence  uint64   // of our latest hello to it
	asked     [32]challenge
	confirmed time.Time // when its address was last confirmed
	other     elsewhere // where it was confirmed too
	answers   *rate.Limiter

	next    time.Time // when to greet again
	attempt int       // greetings since its last answer
}

// challenge is a hello of ours that an answer may quote.
type challenge struct {
	sequence uint64
	to       netip.AddrPort
	at       time.Time
}

// elsewhere is an address of a peer of the other family than the one that packets go to. Packets from there are taken: the peer may
// prefer it, and two workers need not agree which of the ways between them to use.
type elsewhere struct {
	at        netip.AddrPort // not valid if there is none
	confirmed time.Time
}

// located reports whether the peer's address is confirmed: packets from there are taken.
func (r *record) located() bool { return r.kernel.Outer != (bpf.Addr{}) }

// met reports whether the peer has confirmed our address too. Before that it would drop what is sent to it.
func (r *record) met() bool { return r.kernel.State == bpf.PeerUp }

// address is where it was located.
func (r *record) address() netip.AddrPort {
	if !r.located() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(r.kernel.Outer.Netip(), r.kernel.Port)
}

// takes reports whether packets of the peer are taken from an address of that family: it has been confirmed.
func (r *record) takes(of netip.Addr) bool {
	return r.located() && r.address().Addr().Is4() == of.Is4() || r.other.at.IsValid() && r.other.at.Addr().Is4() == of.Is4()
}

// targets are the addresses to greet: where it was located, and while it does not answer wherever it may be. A peer that was located at
// an IPv6 address is greeted at its IPv4 ones as well, since those are preferred once they answer.
func (r *record) targets() []netip.AddrPort {
	to := make([]netip.AddrPort, 0, maxOuter+1)
	everywhere := !r.located() || r.attempt >= 2
	if r.located() {
		to = append(to, r.address())
	}
	for _, a := range r.outer {
		if (everywhere || a.Addr().Is4() && r.address().Addr().Is6()) && !slices.Contains(to, a) {
			to = append(to, a)
		}
	}
	return to
}

func (r *record) remember(to netip.AddrPort, now time.Time) {
	r.asked[r.sequence%uint64(len(r.asked))] = challenge{r.sequence, to, now}
}

// answeredBy reports whether a hello from an address quotes a recent one of ours that went to that very address.
func (r *record) answeredBy(sequence uint64, from netip.AddrPort, now time.Time) bool {
	c := r.asked[sequence%uint64(len(r.asked))]
	return sequence != 0 && c.sequence == sequence && c.to == from && now.Sub(c.at) <= challengeLife
}
