// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/sim/hollow"
)

// maxSamples bounds what is kept of one kind; more are counted, not kept.
const maxSamples = 1 << 20

// Times measures how long what one worker did took to reach the others. It is a [hollow.Watch].
type Times struct {
	mu                         sync.Mutex
	up, down                   map[hollow.Copy]time.Time
	reached                    map[hollow.Copy]int
	routed, unrouted, resolved []time.Duration
}

// NewTimes returns empty ones.
func NewTimes() *Times {
	return &Times{up: map[hollow.Copy]time.Time{}, down: map[hollow.Copy]time.Time{}, reached: map[hollow.Copy]int{}}
}

// Samples are measured times.
type Samples struct {
	// Routed are from the moment in which a copy ran until a worker that wanted its service had the route, Unrouted from its end until the
	// route was gone there, Resolved from the wish for a service until its first routes.
	Routed, Unrouted, Resolved []time.Duration
}

// Take returns what was measured since the last call.
func (t *Times) Take() Samples {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Samples{t.routed, t.unrouted, t.resolved}
	t.routed, t.unrouted, t.resolved = nil, nil, nil
	return s
}

// Reached counts the workers that have heard of a copy since it came up last.
func (t *Times) Reached(c hollow.Copy) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reached[c]
}

// Up implements [hollow.Watch].
func (t *Times) Up(_ string, c hollow.Copy, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.up[c] = at
	delete(t.reached, c)
}

// Down implements [hollow.Watch].
func (t *Times) Down(_ string, c hollow.Copy, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down[c] = at
}

// Routed implements [hollow.Watch]. A worker that began to want the service only afterwards says nothing of how long news take.
func (t *Times) Routed(_ string, c hollow.Copy, wanted, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reached[c]++
	up, ok := t.up[c]
	if ok && !wanted.IsZero() && wanted.Before(up) {
		t.routed = keep(t.routed, at.Sub(up))
	}
}

// Unrouted implements [hollow.Watch].
func (t *Times) Unrouted(_ string, c hollow.Copy, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if down, ok := t.down[c]; ok && down.Before(at) {
		t.unrouted = keep(t.unrouted, at.Sub(down))
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
