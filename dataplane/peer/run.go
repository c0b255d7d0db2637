// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// When a peer is greeted.
const (
	firstRetry   = 10 * time.Millisecond // doubled each time …
	lastRetry    = time.Second           // … up to this, and again for ever
	refreshEvery = 15 * time.Second      // once it has answered
	uplinkEvery  = time.Second           // our own address is looked at
	reapEvery    = 5 * time.Second       // what a list lacks is looked at
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
			g.forgetElsewhere(now)
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
	g.mu.Lock()
	defer g.unlock()
	if up == g.uplink {
		return
	}
	g.log.Info("uplink", "ifindex", up.Ifindex, "ipv4", up.IPv4, "ipv6", up.IPv6, "mtu", up.MTU)
	g.uplink = up
	for _, p := range g.byID {
		p.greetNow()
	}
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
				g.greet(p, to, true, now)
			}
			p.attempt++
			p.next = now.Add(retryAfter(p.attempt))
		}
		if p.next.Before(next) {
			next = p.next
		}
	}
	return next
}

// greet sends one hello. A failure is no more than a lost packet.
func (g *Greeter) greet(p *record, to netip.AddrPort, ask bool, now time.Time) {
	local := g.uplink.towards(to.Addr())
	if !local.IsValid() {
		return
	}
	p.sequence++
	if ask {
		p.remember(to, now)
	}
	own := netip.AddrPortFrom(local, g.cfg.Port)
	body := hello{
		wantsAnswer: ask,
		met:         p.takes(to.Addr()),
		sender:      g.id, receiver: p.id,
		at:     position{g.cfg.Start, p.sequence},
		quoted: p.accepted,
		own:    own, observed: to,
		mtu: uint16(min(max(g.uplink.MTU, 0), 0xffff)),
	}.encode(p.key)
	if err := g.socket.send(packet(own, to, body), to.Addr()); err != nil {
		g.log.Debug("greet peer", "peer", bpf.FormatID(p.id), "to", to, "error", err)
	}
}

func (r *record) greetNow() {
	r.next = time.Time{}
	r.attempt = 0
}

// retryAfter is the wait after the nth greeting without an answer.
func retryAfter(attempt int) time.Duration {
	wait := lastRetry
	if attempt < 8 { // 10 ms << 7 is more than a second
		wait = min(firstRetry<<max(attempt-1, 0), lastRetry)
	}
	if wait == lastRetry {
		return jitter(wait)
	}
	return wait
}

// jitter spreads a wait by a tenth to either side, so that workers that started together do not stay together.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5)
}
