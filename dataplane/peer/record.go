// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"net/netip"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/hello"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// record is one other worker.
type record struct {
	conversation
	index  uint32
	kernel bpf.Peer // as the map has it
	wanted bool     // the latest list has it, or none was seen yet
	// returns says that the list before lacked it.
	returns bool
	outer   []netip.AddrPort
	behind  wire.NAT // as it has told the cluster

	// Of the address where it was located: when it was last confirmed there, whether it believes itself to be there, and whether there
	// is a NAT between here and there, whosoever's.
	confirmed time.Time
	direct    bool
	nat       bool
	// since is when it became that address, or others were told of.
	since time.Time
	// other is where it was confirmed too.
	other elsewhere
	// former are addresses where it was located before, from which packets are still taken.
	former []former

	nextEcho time.Time // when to look after its health again
	silent   bool      // it has left echoes unanswered for too long

	// noticed is the highest of the notices that were accepted from it; at first that of the hello by which it was located, before which
	// none counts: whoever has recorded one could have it believed again.
	noticed hello.Position
	notices *rate.Limiter // of those to it; nil before the first
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

// targets are the addresses to greet: where it was located, and while it does not answer wherever it may be. If there may be a better
// way in the other family, that is tried as well.
func (r *record) targets() []netip.AddrPort {
	to := make([]netip.AddrPort, 0, maxOuter+1)
	everywhere := !r.located() || r.attempt >= 2
	if r.located() {
		to = append(to, r.address())
	}
	for _, a := range r.outer {
		if (everywhere || r.mayBeBetter(a)) && !slices.Contains(to, a) {
			to = append(to, a)
		}
	}
	return to
}

// mayBeBetter reports whether packets might rather go to an address of the other family than where it was located, if it answers there.
func (r *record) mayBeBetter(a netip.AddrPort) bool {
	return (r.nat || a.Addr().Is4()) && a.Addr().Is4() != r.address().Addr().Is4()
}

// refresh is the interval of greetings while it answers. Where a better way may have lost a packet only, that is tried soon, and then ever less
// often.
func (r *record) refresh(now time.Time) time.Duration {
	switch {
	case r.nat:
		return refreshNATEvery
	case slices.ContainsFunc(r.outer, r.mayBeBetter):
		return min(max(now.Sub(r.since), betterEvery), refreshEvery)
	}
	return refreshEvery
}
