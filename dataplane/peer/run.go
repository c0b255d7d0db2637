// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"context"
	"net/netip"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/hello"
)

// What Run looks at, and how often.
const (
	uplinkEvery = time.Second     // our own address
	reapEvery   = 5 * time.Second // what a list lacks, and former addresses
)

// Run greets peers and removes unused ones until ctx ends, which it returns as no error.
func (g *Greeter) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var uplinkAt, reapAt time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.kick:
		case <-timer.C:
		}
		now := g.now()
		if !now.Before(uplinkAt) {
			g.lookAtUplink()
			uplinkAt = now.Add(uplinkEvery)
		}
		if !now.Before(reapAt) {
			g.reap()
			reapAt = now.Add(reapEvery)
		}
		next := g.greetDue(now)
		if next.After(uplinkAt) {
			next = uplinkAt
		}
		timer.Reset(max(next.Sub(now), time.Millisecond))
	}
}

// lookAtUplink has all peers greeted from the new address when ours has changed.
func (g *Greeter) lookAtUplink() {
	up := g.cfg.Uplink()
	up.IPv4, up.IPv6 = up.IPv4.Unmap(), up.IPv6.Unmap()
	g.mu.Lock()
	defer g.unlock()
	if up == g.uplink {
		return
	}
	g.log.Info("uplink", "ifindex", up.Ifindex, "ipv4", up.IPv4, "ipv6", up.IPv6, "mtu", up.MTU)
	g.uplink = up
	g.forgetSeen()
	for _, p := range g.byID {
		p.greetNow()
	}
	if g.observer != nil {
		g.observer.greetNow()
	}
}

// LookAgain has our own address looked at now: whoever calls it has seen that it may have changed.
func (g *Greeter) LookAgain() {
	g.lookAtUplink()
	g.wake()
}

// greetDue greets all whose time has come and returns when the next one's comes.
func (g *Greeter) greetDue(now time.Time) time.Time {
	g.mu.Lock()
	defer g.unlock()
	next := now.Add(refreshEvery)
	for _, p := range g.byID {
		if p.key == nil {
			continue
		}
		if !p.next.After(now) {
			for _, to := range p.targets() {
				g.greet(&p.conversation, p.takes(to.Addr()), to, true, now)
			}
			p.attempt++
			g.judgeUnmet(p)
			p.next = now.Add(p.retry())
		}
		if p.next.Before(next) {
			next = p.next
		}
		if at := g.echoIfDue(p, now); p.met() && at.Before(next) {
			next = at
		}
	}
	if at, ok := g.greetObserver(now); ok && at.Before(next) {
		next = at
	}
	return next
}

// greet sends one hello. It says that we have met the other side if packets are taken from where it is in that family. A failure is no more than a lost packet.
func (g *Greeter) greet(c *conversation, met bool, to netip.AddrPort, ask bool, now time.Time) {
	own := g.own(to.Addr())
	if !own.Addr().IsValid() {
		return
	}
	c.sequence++
	if ask {
		c.remember(to, now)
	}
	body := hello.Hello{
		WantsAnswer: ask,
		Met:         met,
		Sender:      g.id, Receiver: c.id,
		At:     hello.Position{Start: g.cfg.Start, Sequence: c.sequence},
		Quoted: c.accepted[family(to.Addr())],
		Own:    own, Observed: to,
		MTU: uint16(min(max(g.uplink.MTU, 0), 0xffff)),
	}.Encode(c.key)
	// From the tunnel's own port, as data behind a NAT: its mapping is made, and kept, by this.
	if err := g.socket.send(packet(own, to, hello.Tunneled(body)), to.Addr()); err != nil {
		g.log.Debug("greet", "id", bpf.FormatID(c.id), "to", to, "error", err)
	}
}
