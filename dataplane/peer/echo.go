// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// When a peer is sent an echo request. The programs of both sides do the rest.
const (
	echoEvery = 5 * time.Second // after the last measured round trip, whoever measured it, unless configured
	echoAgain = time.Second     // while there is no answer, at most
)

// echoHeader is the tunnel header of echoes and what says that it is a request (bpf/include/echo.h).
const echoHeader = "\x0c\x00\x00\xfd\x00\x00\x00\x00oake\x00\x01\x00\x00"

// monotonic is the programs' clock.
func monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // it cannot fail for this clock
	}
	return time.Duration(ts.Nano())
}

// echoIfDue looks after a peer's health and returns when to do so again. mu is held.
func (g *Greeter) echoIfDue(p *record, now time.Time) time.Time {
	if !p.met() || p.nextEcho.After(now) {
		return p.nextEcho
	}
	wait, err := g.echo(p)
	if err != nil {
		g.log.Warn("cannot measure the way to a peer; trying on", "peer", bpf.FormatID(p.id), "error", err)
	}
	p.nextEcho = now.Add(wait)
	return p.nextEcho
}

// echo sends a request unless a round trip was measured lately. It returns after how long to call it again.
func (g *Greeter) echo(p *record) (wait time.Duration, err error) {
	every, again := g.cfg.EchoEvery, min(g.cfg.EchoEvery, echoAgain)
	h, _, err := g.cfg.Maps.PeerHealth.Lookup(p.index)
	if err != nil {
		return again, fmt.Errorf("read its health: %w", err)
	}
	now := g.mono()
	g.noticeSilence(p, h.Silent(now))
	if age := now - time.Duration(h.Sampled); h.Asked == 0 && h.Sampled != 0 && age < every {
		return jitter(max(every-age, again)), nil
	}
	own := g.own(p.address().Addr())
	if !own.Addr().IsValid() {
		return again, nil
	}
	// What the programs note between the reading above and the writing here is lost: at worst one sample of many.
	if h.Asked == 0 {
		h.Asked = uint64(now)
	}
	h.Sent, h.Nonce = uint64(now), rand.Uint64()|1
	if err := g.cfg.Maps.PeerHealth.Put(p.index, h); err != nil {
		return again, fmt.Errorf("note an echo: %w", err)
	}
	body := binary.NativeEndian.AppendUint64([]byte(echoHeader), h.Nonce)
	if err := g.socket.send(packet(own, p.address(), body), p.address().Addr()); err != nil {
		g.log.Debug("send echo", "peer", bpf.FormatID(p.id), "to", p.address(), "error", err) // no more than a lost packet
	}
	return jitter(again), nil
}

// noticeSilence tells when a peer stops answering, and when it does again.
func (g *Greeter) noticeSilence(p *record, silent bool) {
	if p.silent == silent {
		return
	}
	p.silent = silent
	if silent {
		g.log.Warn("peer does not answer: new flows pass it over", "peer", bpf.FormatID(p.id), "address", p.address())
	} else {
		g.log.Info("peer answers again", "peer", bpf.FormatID(p.id), "address", p.address())
	}
}
