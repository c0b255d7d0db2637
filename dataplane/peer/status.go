// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Status is one other worker as this one sees it.
type Status struct {
	WorkerID string
	// Index is its place in the map peers.
	Index uint32
	// Met says that packets can go there: it has answered at Address.
	Met     bool
	Address netip.AddrPort
	// Unreachable says that it was never met and is not to be expected to be, since NATs are between.
	Unreachable bool
	// NAT says that addresses change between here and there.
	NAT bool
	// MTU of the way to it, in bytes; 0 while unknown.
	MTU int
	// Silent says that it has left echoes unanswered for so long that new flows pass it over.
	Silent bool
	// RTT is the smoothed round trip to it; 0 while unknown.
	RTT time.Duration
	// Listed says that the cluster's latest list has it; else it is kept for flows or routes only.
	Listed bool
	// Confirmed is when it last answered; zero if not since the start.
	Confirmed time.Time
	// Unanswered counts the greetings since its last answer.
	Unanswered int
}

// Peers lists all known workers by index.
func (g *Greeter) Peers() []Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]Status, 0, len(g.byID))
	now := g.mono()
	for _, p := range g.byID {
		health, _, err := g.cfg.Maps.PeerHealth.Lookup(p.index)
		if err != nil {
			g.log.Debug("read the health of a peer", "peer", bpf.FormatID(p.id), "error", err)
		}
		out = append(out, Status{
			Silent: health.Silent(now), RTT: health.RTT(),
			WorkerID: bpf.FormatID(p.id), Index: p.index,
			Met: p.met(), Unreachable: p.unreachable(), Address: p.address(), NAT: p.nat, MTU: int(p.kernel.Mtu),
			Listed: p.wanted, Confirmed: p.confirmed, Unanswered: p.attempt,
		})
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Compare(a.Index, b.Index) })
	return out
}

// OverIPv6 reports whether a peer is met by IPv6, whose outer header is the longer one.
func (g *Greeter) OverIPv6() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.byID {
		if p.met() && p.address().Addr().Is6() {
			return true
		}
	}
	return false
}
