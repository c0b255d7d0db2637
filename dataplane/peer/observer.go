// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/hello"
)

// Observer is somebody that answers hellos and is no peer: the cluster, which tells a worker behind a NAT where others see it.
type Observer struct {
	// ID is 24 hexadecimal digits.
	ID        string
	PublicKey []byte
	// Outer is where it can be greeted.
	Outer []netip.AddrPort
	// Other is where else: only to see whether a NAT shows this worker differently there.
	Other []netip.AddrPort
}

// observer is the one that the greeter asks.
type observer struct {
	conversation
	outer []netip.AddrPort
	other []netip.AddrPort
	// seenOther is where it is seen from other, of IPv4.
	seenOther view
}

// SetObserver has another observer asked, or none if its id is empty. The same one at the same addresses changes nothing.
func (g *Greeter) SetObserver(o Observer) error {
	g.mu.Lock()
	defer g.unlock()
	if o.ID == "" {
		g.endObserver()
		return nil
	}
	id, err := bpf.ParseID(o.ID)
	if err != nil {
		return fmt.Errorf("read the observer's id: %w", err)
	}
	outer, other := usable(o.Outer), usable(o.Other)
	if have := g.observer; have != nil && have.id == id && bytes.Equal(have.public, o.PublicKey) {
		if !slices.Equal(have.outer, outer) || !slices.Equal(have.other, other) {
			have.outer, have.other = outer, other
			have.greetNow()
			g.wake()
		}
		return nil
	}
	key, err := hello.PairKey(g.cfg.Key, o.PublicKey, g.id, id)
	if err != nil {
		return fmt.Errorf("use the observer's key: %w", err)
	}
	former := g.endObserver()
	next := &observer{conversation: newConversation(id, g.ended), outer: outer, other: other}
	next.public, next.key = bytes.Clone(o.PublicKey), key
	if former != nil {
		next.seen = former.seen // until it says otherwise
	}
	g.observer = next
	g.wake()
	return nil
}

func (g *Greeter) endObserver() (former *observer) {
	former, g.observer = g.observer, nil
	if former != nil {
		g.end(&former.conversation)
	}
	return former
}

// handleObserver takes a hello of the observer's.
func (g *Greeter) handleObserver(h hello.Hello, from netip.AddrPort, now time.Time) {
	o := g.observer
	if h.Quoted.Start != g.cfg.Start || !o.answeredBy(h.Quoted.Sequence, from, now) {
		return
	}
	if slices.Contains(o.other, from) {
		if seen := h.Observed; seen.Addr().Is4() {
			o.seenOther.confirm(seen, now)
			g.judgeNAT()
		}
		return
	}
	interval := refreshEvery
	if h.Observed != g.own(from.Addr()) {
		interval = refreshNATEvery
	}
	o.settle(interval, now)
	g.notice(&o.conversation, h.Observed, now)
}

// greetObserver greets it if its time has come and returns when that comes.
func (g *Greeter) greetObserver(now time.Time) (next time.Time, ok bool) {
	o := g.observer
	if o == nil || len(o.outer) == 0 {
		return time.Time{}, false
	}
	if !o.next.After(now) {
		for _, to := range o.outer {
			g.greet(&o.conversation, false, to, true, now)
		}
		// Not while it does not answer: of two questions at a time the second may overtake the first, which is then no news any more.
		for _, to := range o.other {
			if o.attempt == 0 {
				g.greet(&o.conversation, false, to, true, now)
			}
		}
		o.attempt++
		wait := retryAfter(o.attempt)
		if o.attempt > 10 {
			// It may be of a version that does not answer, or its port closed: no worker depends on it to go on.
			wait = jitter(refreshEvery)
		}
		o.next = now.Add(wait)
	}
	return o.next, true
}
