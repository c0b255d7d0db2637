// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// How long things are remembered.
const (
	// noneFor is how long it is remembered that nobody has a name.
	noneFor = 5 * time.Second
	// wantedFor is how long after its last lookup a name that somebody has stays wanted.
	wantedFor = 10 * time.Minute
	// unansweredFor is how long one stays wanted that the cluster has not answered.
	unansweredFor = 5 * time.Second
	// askAgain is how soon a name that was asked for may be asked for again.
	askAgain = 500 * time.Millisecond
	// maxNames bounds the names wanted at a time, as the cluster does.
	maxNames = 4096
)

// What a lookup may end in other than an answer.
var (
	// errNone is that nobody has the name.
	errNone = errors.New("nobody has the name")
	// errUnavailable is that it cannot be told now.
	errUnavailable = errors.New("the cluster orchestrator does not say who has the name")
	// errTooMany is that the container asks for too many names that are not known.
	errTooMany = errors.New("too many names that are not known were asked for")
)

// table is the names that are wanted, and what is known of them.
type table struct {
	log *slog.Logger
	now func() time.Time
	// publish is called, without locks held, when the cluster has to hear of the interest; changed when what is stored is another.
	publish, changed func()

	mu    sync.Mutex
	names map[wire.NameKey]*entry
	epoch uint64 // highest of the answers seen
}

// entry is one wanted name.
type entry struct {
	lookedUp time.Time
	asked    time.Time // when the cluster was last asked
	// known is what the name stands for; nil if nobody has it, or that is not known.
	known *wire.ResolvedName
	none  time.Time  // until when nobody has it; zero: that was not said
	stamp wire.Stamp // of the answer held
	// waiting are told of the next answer.
	waiting []chan verdict
}

// verdict is an answer, or why there is none. An answer of errNone holds for so long.
type verdict struct {
	answer wire.ResolvedName
	left   time.Duration
	err    error
}

func newTable(log *slog.Logger, publish, changed func()) *table {
	return &table{log: log, now: time.Now, publish: publish, changed: changed, names: map[wire.NameKey]*entry{}}
}

// lookup returns what is known of a name, or waits until the cluster has said it or ctx ends. fresh is asked whether one that is not
// known may be asked for.
func (t *table) lookup(ctx context.Context, k wire.NameKey, fresh func() bool) verdict {
	answer, known := t.look(k, fresh)
	if known {
		return <-answer
	}
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		t.ask(k)
		select {
		case v := <-answer:
			return v
		case <-ctx.Done():
			t.leave(k, answer)
			return verdict{err: errUnavailable}
		case <-again.C:
		}
	}
}

// ask has the cluster asked, unless it has been a moment ago.
func (t *table) ask(k wire.NameKey) {
	now, due := t.now(), false
	t.mu.Lock()
	if e := t.names[k]; e != nil && now.Sub(e.asked) >= askAgain {
		e.asked, due = now, true
	}
	t.mu.Unlock()
	if due {
		t.publish()
	}
}

// look returns a channel that the answer comes by, and whether it is there.
func (t *table) look(k wire.NameKey, fresh func() bool) (answer chan verdict, known bool) {
	answer = make(chan verdict, 1)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	e := t.names[k]
	switch {
	case e != nil && e.known != nil:
		e.lookedUp = now
		answer <- verdict{answer: *e.known}
		return answer, true
	case e != nil && now.Before(e.none):
		answer <- verdict{err: errNone, left: e.none.Sub(now)}
		return answer, true
	case e == nil || !e.none.IsZero(): // what was refused long ago is asked for like what never was
		if !fresh() {
			answer <- verdict{err: errTooMany}
			return answer, true
		}
		if e == nil {
			if len(t.names) >= maxNames {
				t.forgetOne()
			}
			e = &entry{}
			t.names[k] = e
		}
		e.asked, e.none, e.stamp = time.Time{}, time.Time{}, wire.Stamp{}
	}
	e.lookedUp = now
	e.waiting = append(e.waiting, answer)
	return answer, false
}

// leave gives a wait up.
func (t *table) leave(k wire.NameKey, answer chan verdict) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.names[k]; e != nil {
		e.waiting = slices.DeleteFunc(e.waiting, func(c chan verdict) bool { return c == answer })
	}
}

// forgetOne makes room: for the name that was looked up longest ago, one that nobody has before one that somebody has, so that guesses
// drive out guesses.
func (t *table) forgetOne() {
	var oldest wire.NameKey
	var found *entry
	for k, e := range t.names {
		if found == nil || (e.known == nil) != (found.known == nil) && e.known == nil ||
			(e.known == nil) == (found.known == nil) && e.lookedUp.Before(found.lookedUp) {
			oldest, found = k, e
		}
	}
	if found != nil {
		found.tell(verdict{err: errUnavailable})
		delete(t.names, oldest)
	}
}

// resolved takes the cluster's answers to wanted names. That it cannot be told now is not remembered: what is known goes on.
func (t *table) resolved(m wire.NetResolved) error {
	if err := m.Check(); err != nil {
		return fmt.Errorf("take answers: %w", err)
	}
	if t.apply(m) {
		t.changed()
	}
	return nil
}

func (t *table) apply(m wire.NetResolved) (changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.Epoch < t.epoch {
		return false // of a cluster that has been overruled
	}
	t.epoch = m.Epoch
	for _, n := range m.Names {
		e := t.names[n.NameKey]
		if e == nil || !m.After(e.stamp) {
			continue
		}
		switch n.Resolution {
		case wire.ResolvedService:
			e.known, e.none, e.stamp = &n, time.Time{}, m.Stamp
			e.tell(verdict{answer: n})
			changed = true
		case wire.ResolvedNone:
			changed = changed || e.known != nil
			e.known, e.none, e.stamp = nil, t.now().Add(noneFor), m.Stamp
			e.tell(verdict{err: errNone, left: noneFor})
		case wire.ResolvedUnavailable:
			e.asked = time.Time{}
			e.tell(verdict{err: errUnavailable})
		default:
			t.log.Warn("the cluster's answer is unknown to this program: is it older than the cluster?", "name", n.Name, "answer", n.Resolution)
		}
	}
	return changed
}

// tell ends all waits.
func (e *entry) tell(v verdict) {
	for _, c := range e.waiting {
		c <- v
	}
	e.waiting = nil
}

// interest returns the names that this worker wants, sorted, each with the stamp of the answer held.
func (t *table) interest() []wire.InterestName {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]wire.InterestName, 0, len(t.names))
	for k, e := range t.names {
		list = append(list, wire.InterestName{NameKey: k, Held: e.stamp})
	}
	slices.SortFunc(list, func(a, b wire.InterestName) int { return a.Compare(b.NameKey) })
	return list
}

// expire forgets what is wanted no more.
func (t *table) expire(now time.Time) {
	if lost, known := t.lapse(now); lost {
		t.publish()
		if known {
			t.changed()
		}
	}
}

func (t *table) lapse(now time.Time) (lost, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, e := range t.names {
		over := false
		switch {
		case len(e.waiting) > 0:
		case e.known != nil:
			over = now.Sub(e.lookedUp) >= wantedFor
		case !e.none.IsZero():
			over = !now.Before(e.none)
		default:
			over = now.Sub(e.lookedUp) >= unansweredFor
		}
		if over {
			delete(t.names, k)
			lost, known = true, known || e.known != nil
		}
	}
	return lost, known
}

func (t *table) list() []wire.LocalName {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]wire.LocalName, 0, len(t.names))
	for k, e := range t.names {
		n := wire.LocalName{ResolvedName: wire.ResolvedName{NameKey: k}, LookedUp: e.lookedUp}
		switch {
		case e.known != nil:
			n.ResolvedName = *e.known
		case t.now().Before(e.none):
			n.Resolution = wire.ResolvedNone
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b wire.LocalName) int { return a.Compare(b.NameKey) })
	return out
}

func (t *table) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.names)
}
