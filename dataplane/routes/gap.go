// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"math/rand/v2"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Where a change is missed, the whole is asked for at once, and again as long as only changes of it come: after gapLeast, and each time after
// twice as long, up to gapMost. Of one that nothing is held of, and nothing comes, nothing is asked any more after gapForgotten.
const (
	gapLeast     = 100 * time.Millisecond
	gapMost      = 30 * time.Second
	gapForgotten = 2 * time.Minute
)

// gap is that a change came of routes of a service which are not held.
type gap struct {
	since time.Time
	// until is when the whole is asked for again, wait how long that is after the last time.
	until time.Time
	wait  time.Duration
}

// missed notes that a change was of other routes than those held, and asks for the whole if it is time to.
func (t *Table) missed(id string) {
	now := t.now()
	g := t.gaps[id]
	if g == nil {
		if len(t.gaps) >= maxWanted {
			return
		}
		g = &gap{since: now, wait: gapLeast / 2}
		t.gaps[id] = g
		t.log.Debug("a change of routes is of others than those held: asking for all", "service", id)
	}
	t.askWhole(g, now)
}

func (t *Table) askWhole(g *gap, now time.Time) {
	if now.Before(g.until) {
		return
	}
	g.wait = min(2*g.wait, gapMost)
	g.until = now.Add(g.wait + rand.N(g.wait/2)) //nolint:gosec // spreads in time what many workers ask for
	t.publish = true
}

// expireGaps asks again for what has not come.
func (t *Table) expireGaps(now time.Time) {
	for id, g := range t.gaps {
		if s := t.services[id]; (s == nil || s.routes == nil) && now.Sub(g.since) > gapForgotten {
			delete(t.gaps, id) // it is not wanted, or it is asked for by its address
			continue
		}
		t.askWhole(g, now)
	}
}

// whole returns what r stands for: itself, or the change that it makes of what is held. It reports false if it is of something else.
func (t *Table) whole(s *service, r wire.NetRoutes) (wire.NetRoutes, bool) {
	if !r.IsChange() || r.Gone {
		return r, true
	}
	if s == nil || s.routes == nil {
		return r, false
	}
	if whole, ok := r.Apply(s.routes); ok {
		return whole, true
	}
	return r, false
}
