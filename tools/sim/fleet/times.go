// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"maps"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/sim/hollow"
)

// maxSamples bounds what is kept of one kind; more are counted, not kept.
const maxSamples = 1 << 20

// Times measures how long what one worker did took to reach the others. It is a [hollow.Watch].
//
// Of a service with many instances each worker is told some. Which ones may change when another comes or goes: that is no news of those, and is
// not measured. Measured is how long the first news of a copy takes, and, when it ends and comes again, how long it takes until those who had a
// route to it have heard of either.
type Times struct {
	mu                                sync.Mutex
	copies                            map[hollow.Copy]*life
	first, routed, unrouted, resolved []time.Duration
	firsts                            int
}

// life is that of one copy: when it came up and ended last, and who has a route to it.
type life struct {
	up, down time.Time
	holders  map[string]struct{}
	// losing had a route when it ended, and have it still; regaining had one then, and have none again. The latter is nil until it has ended
	// for the first time.
	losing, regaining map[string]struct{}
}

// NewTimes returns empty ones.
func NewTimes() *Times { return &Times{copies: map[hollow.Copy]*life{}} }

// Samples are measured times.
type Samples struct {
	// First are from the moment in which a copy ran for the first time until a worker that wanted its service had the route; Routed from the moment
	// in which it ran again until one that had a route to it has one again, Unrouted from its end until the route was gone there; Resolved from
	// the wish for a service until its first routes.
	First, Routed, Unrouted, Resolved []time.Duration
}

// Take returns what was measured since the last call.
func (t *Times) Take() Samples {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Samples{t.first, t.routed, t.unrouted, t.resolved}
	t.first, t.routed, t.unrouted, t.resolved = nil, nil, nil, nil
	return s
}

// Firsts counts the first news of copies that workers ever had.
func (t *Times) Firsts() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.firsts
}

// Unheard counts the workers that have not heard yet that a copy ended or came again.
func (t *Times) Unheard(c hollow.Copy) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.of(c)
	return len(l.losing) + len(l.regaining)
}

// of returns the life of a copy; the lock is held.
func (t *Times) of(c hollow.Copy) *life {
	l := t.copies[c]
	if l == nil {
		l = &life{holders: map[string]struct{}{}}
		t.copies[c] = l
	}
	return l
}

// Up implements [hollow.Watch].
func (t *Times) Up(_ string, c hollow.Copy, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of(c).up = at
}

// Down implements [hollow.Watch].
func (t *Times) Down(_ string, c hollow.Copy, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.of(c)
	l.down = at
	l.losing, l.regaining = maps.Clone(l.holders), maps.Clone(l.holders)
}

// Routed implements [hollow.Watch]. A worker that began to want the service only afterwards says nothing of how long news take.
func (t *Times) Routed(worker string, c hollow.Copy, wanted, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.of(c)
	l.holders[worker] = struct{}{}
	fresh := !l.up.IsZero() && !wanted.IsZero() && wanted.Before(l.up)
	if l.regaining == nil {
		t.firsts++
		if fresh {
			t.first = keep(t.first, at.Sub(l.up))
		}
		return
	}
	if _, awaited := l.regaining[worker]; !awaited || l.up.Before(l.down) {
		return
	}
	delete(l.regaining, worker)
	if fresh {
		t.routed = keep(t.routed, at.Sub(l.up))
	}
}

// Unrouted implements [hollow.Watch].
func (t *Times) Unrouted(worker string, c hollow.Copy, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.of(c)
	delete(l.holders, worker)
	if _, awaited := l.losing[worker]; awaited {
		delete(l.losing, worker)
		t.unrouted = keep(t.unrouted, at.Sub(l.down))
	}
}

// Resolved implements [hollow.Watch].
func (t *Times) Resolved(_, _ string, wanted, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.resolved = keep(t.resolved, at.Sub(wanted))
}

func keep(s []time.Duration, d time.Duration) []time.Duration {
	if len(s) >= maxSamples {
		return s
	}
	return append(s, d)
}

// lateListener passes on what a worker does, not what it hears.
type lateListener struct{ *Times }

// Routed implements [hollow.Watch].
func (lateListener) Routed(string, hollow.Copy, time.Time, time.Time) {}

// Unrouted implements [hollow.Watch].
func (lateListener) Unrouted(string, hollow.Copy, time.Time) {}

// Resolved implements [hollow.Watch].
func (lateListener) Resolved(string, string, time.Time, time.Time) {}
