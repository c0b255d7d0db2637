// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/probe"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// phaseNone is a copy that the runtime was not yet asked for.
const phaseNone runtime.Phase = ""

// idle is the pause of an actor that has nothing to do until it is woken.
const idle = time.Hour

// actor does all that concerns one instance. Its fields below the first group belong to its own goroutine.
type actor struct {
	a    *Agent
	key  wire.InstanceKey
	log  *slog.Logger
	wake chan struct{}
	ends chan ended
	told chan judged

	mu       sync.Mutex
	cancelOp context.CancelFunc // cuts the bringing up that is under way short
	opGen    wire.Generation    // what is brought up
	reattach bool               // NetManager came back
	hurried  bool               // what failed is to be tried at once

	rows rows // under the agent's lock

	have    *runtime.Instance // the copy that is here or is being made
	phase   runtime.Phase
	exit    runtime.Exit
	started time.Time
	older   []runtime.Copy // copies of lower generations, to be removed
	unwatch context.CancelFunc
	swept   wire.Generation  // nothing is left of this generation
	detach  *wire.Generation // addresses of this generation are to be given back
	crashes int              // in a row
	fails   int              // failed steps in a row
	// elsewhere is set while this worker cannot give the copy what it needs, such as a host port.
	elsewhere bool
	// unattached is set while NetManager has not given the copy its addresses when it was asked last.
	unattached bool
	// exhausted is set while the copy fails here so often, or for so long, that another worker should be tried.
	exhausted bool
	resting   bool      // it is stopped while the cluster is away
	began     time.Time // since when it is tried to bring the copy up
	due       time.Time // nothing is tried before

	ready *bool  // the verdict of its readiness probe; nil without one
	doubt string // why it is not ready
	sick  string // why its liveness probe has it ended; "" while it lives
	last  string // how it ended the last time
}

// ended says that the copy with this id ended, or is gone.
type ended struct {
	id   string
	exit runtime.Exit
	gone bool
}

func newActor(a *Agent, key wire.InstanceKey, found []runtime.Copy) *actor {
	c := &actor{a: a, key: key, log: a.opts.Log.With("instance", key.String()), wake: make(chan struct{}, 1), ends: make(chan ended, 1), told: make(chan judged)}
	if len(found) > 0 {
		in := found[0].Instance
		c.began = time.Now()
		c.have, c.phase, c.exit, c.started, c.older = &in, found[0].Phase, found[0].Exit, found[0].StartedAt, found[1:]
		c.reattach = c.phase == runtime.PhaseRunning
		// At once, so that the first full report holds it.
		state, detail := c.adoptedState()
		c.rows.spec = &in.Spec
		c.rows.copy = &wire.InstanceReport{InstanceKey: key, Generation: in.Generation, State: state, Detail: detail, Restarts: in.Restarts, Since: time.Now()}
		if state == wire.StateRunning && !c.started.IsZero() {
			c.rows.copy.Since = c.started
		}
		if c.phase == runtime.PhaseCompleted { // its addresses may not have been given back before the restart
			c.setDetach(in.Generation)
		}
	}
	return c
}

// nudge has the actor look at its goal again. A step that the goal has overruled, such as a long pull, is cut short.
func (c *actor) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
	a := c.a // whose lock is held
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancelOp == nil {
		return
	}
	t, stop := a.tombs[c.key]
	d, want := a.desired[c.key]
	if a.resting || stop && c.opGen.Compare(t) <= 0 || want && d.Generation.Compare(c.opGen) > 0 {
		c.cancelOp()
	}
}

// hurry has the actor try at once what it waits to try again.
func (c *actor) hurry() {
	c.mu.Lock()
	c.hurried = true
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// takeHurried returns whether the actor was told to hurry since the last call.
func (c *actor) takeHurried() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.hurried
	c.hurried = false
	return h
}

// run works until ctx ends or there is nothing left to do for the instance.
func (c *actor) run(ctx context.Context) {
	if c.have != nil && c.phase == runtime.PhaseRunning {
		c.watch(ctx, probe.Unknown, probe.Unknown)
	}
	c.report(c.adoptedState())
	for ctx.Err() == nil {
		pause := c.step(ctx)
		if c.a.forget(c) {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-c.wake:
		case e := <-c.ends:
			c.onEnd(e)
		case j := <-c.told:
			c.onVerdict(j)
		case <-timer.C:
		}
		timer.Stop()
	}
}

// step does the next thing that the goal asks for and returns how long to wait for the one after.
func (c *actor) step(ctx context.Context) time.Duration {
	g := c.a.goalOf(c.key)
	if c.takeHurried() && (c.fails > 0 || c.phase == runtime.PhaseRunning) { // a pause after a crash is kept
		c.fails, c.due = 0, time.Time{}
	}
	if wait := time.Until(c.due); wait > 0 && !c.overruled(g) {
		return wait
	}
	again, err := c.advance(ctx, g)
	switch {
	case err == nil && again:
		c.fails = 0
		return 0
	case err == nil:
		c.fails = 0
		return c.untilDue()
	case ctx.Err() != nil: // the program ends
		return 0
	}
	c.fails++
	pause := c.a.opts.backOff(c.fails)
	c.due = time.Now().Add(pause)
	c.reportFailure(err, pause)
	return pause
}

func (c *actor) untilDue() time.Duration {
	if wait := time.Until(c.due); wait > 0 {
		return wait
	}
	return idle
}

// overruled reports whether the goal asks for something else than what a pause is for.
func (c *actor) overruled(g goal) bool {
	if c.have == nil {
		return g.want != nil
	}
	return g.rest != c.resting && c.phase != runtime.PhaseCompleted || g.stops(c.have.Generation) || g.want != nil && g.want.Generation.Compare(c.have.Generation) > 0
}

func (c *actor) setOp(cancel context.CancelFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancelOp, c.opGen = cancel, c.have.Generation
}

// takeReattach returns whether NetManager came back since the last call.
func (c *actor) takeReattach() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.reattach
	c.reattach = false
	return r
}

// watch waits for the end of the running copy in the background, and probes it; unwatch ends it. ready and alive are what it is taken for
// before it was asked.
func (c *actor) watch(ctx context.Context, ready, alive probe.Start) {
	ctx, c.unwatch = context.WithCancel(ctx)
	c.startProbes(ctx, ready, alive)
	id, rt := c.have.ID(), c.a.opts.Runtimes[c.have.Spec.Runtime]
	c.a.wg.Go(func() {
		for fails := 1; ctx.Err() == nil; fails++ {
			exit, err := rt.Wait(ctx, id)
			if err == nil || errors.Is(err, runtime.ErrNotFound) {
				select {
				case c.ends <- ended{id: id, exit: exit, gone: err != nil}:
				case <-ctx.Done():
				}
				return
			}
			select {
			case <-time.After(c.a.opts.backOff(fails)):
			case <-ctx.Done():
			}
		}
	})
}

func (c *actor) stopWatching() {
	if c.unwatch != nil {
		c.unwatch()
		c.unwatch = nil
	}
	select {
	case <-c.ends:
	default:
	}
}
