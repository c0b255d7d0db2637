// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"net/netip"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// When two workers behind NATs, one of them symmetric, are taken for unreachable to one another: once this many greetings in a row have
// had no answer, which takes three seconds. They are greeted on, ever less often.
const (
	hopelessAfter = 10
	hopelessRetry = 30 * time.Second // at most
)

// view is where somebody sees this worker: invalid if it has not told yet.
type view struct {
	at netip.AddrPort
	// since is when it was first seen there, last when it was the last time; it was seen nowhere else in between.
	since, last time.Time
}

func (v *view) confirm(at netip.AddrPort, now time.Time) {
	if v.at != at {
		v.at, v.since = at, now
	}
	v.last = now
}

// together reports whether both held at the same time.
func (v view) together(w view) bool {
	return v.at.IsValid() && w.at.IsValid() && !v.last.Before(w.since) && !w.last.Before(v.since)
}

// isObserver reports whether a conversation is the one with the observer.
func (g *Greeter) isObserver(c *conversation) bool {
	return g.observer != nil && c == &g.observer.conversation
}

// judgeNAT finds out whether the NAT before this worker is symmetric: the observer sees it at one address and at two ports, or a peer at
// another one than the observer, both at the same time. One after the other they would with any NAT that has just given another port. A NAT at another address is another one.
func (g *Greeter) judgeNAT() {
	if g.observer == nil {
		return
	}
	cloud := g.observer.seen[bpf.V4]
	same, differ := false, false
	compare := func(v view) {
		if !v.together(cloud) || v.at == g.own(v.at.Addr()) || v.at.Addr() != cloud.at.Addr() {
			return
		}
		same = same || v.at == cloud.at
		differ = differ || v.at != cloud.at
	}
	compare(g.observer.seenOther)
	for _, p := range g.byID {
		compare(p.seen[bpf.V4])
	}
	if !same && !differ || differ == g.symmetric {
		return // nobody to compare with says nothing
	}
	g.symmetric, g.publicChanged = differ, true
	g.log.Info("the NAT before this worker", "symmetric", g.symmetric)
}

// NAT returns what is known of the NAT before this worker; [Greeter.SubscribePublic] tells of changes.
func (g *Greeter) NAT() wire.NAT {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.behind()
}

func (g *Greeter) behind() wire.NAT {
	if g.symmetric {
		return wire.NATSymmetric
	}
	for _, a := range g.public {
		if a.Addr().Is4() {
			return wire.NATPlain
		}
	}
	return wire.NATNone
}

// unreachable reports whether the peer was never met and is not to be expected to be.
func (r *record) unreachable() bool {
	return r.kernel.State == bpf.PeerBothSymmetric || r.kernel.State == bpf.PeerOneSymmetric
}

// judgeUnmet finds out whether a peer that was never located cannot be, and says so. While it is being looked for anew, since something
// has changed, what was found before holds.
func (g *Greeter) judgeUnmet(p *record) {
	if p.located() || p.attempt < hopelessAfter {
		return
	}
	state := unmetState(g.behind(), p.behind)
	if state == p.kernel.State {
		return
	}
	if err := g.write(p, bpf.Peer{Id: p.id, State: state}); err != nil {
		g.log.Error("cannot enter that a peer is unreachable; tried again", "peer", bpf.FormatID(p.id), "error", err)
		return
	}
	g.changed = append(g.changed, bpf.FormatID(p.id))
	if p.unreachable() {
		g.log.Warn("peer cannot be reached: NATs at both ends, of which one at least is symmetric: open the tunnel's UDP port at one of them",
			"peer", bpf.FormatID(p.id), "port", g.cfg.Port, "nat_here", g.behind(), "nat_there", p.behind)
	}
}

// unmetState is the state of a peer that does not answer, by the NATs at both ends.
func unmetState(here, there wire.NAT) uint32 {
	switch {
	case here == wire.NATNone || there == wire.NATNone:
		return bpf.PeerGreeting
	case here == wire.NATSymmetric && there == wire.NATSymmetric:
		return bpf.PeerBothSymmetric
	case here == wire.NATSymmetric || there == wire.NATSymmetric:
		return bpf.PeerOneSymmetric
	}
	return bpf.PeerGreeting // it may be no more than switched off
}

// retry is the wait until a peer is greeted again that has not answered.
func (r *record) retry() time.Duration {
	if over := r.attempt - hopelessAfter; r.unreachable() && over >= 0 {
		return jitter(min(lastRetry<<min(over, 10), hopelessRetry))
	}
	return retryAfter(r.attempt)
}
