// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/probe"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// networkError marks a failure to get addresses: the instance waits for NetManager, nothing is wrong with it.
type networkError struct{ err error }

func (e *networkError) Error() string { return "waits for the overlay: " + e.err.Error() }
func (e *networkError) Unwrap() error { return e.err }

// elsewhere reports whether an error of [Network] says that another worker may be able to take the instance.
func elsewhere(err error) bool {
	var e interface{ Elsewhere() bool }
	return errors.As(err, &e) && e.Elsewhere()
}

// bringUpUnlessOverruled brings the instance up; a goal that overrules it cuts it short, which is no failure.
func (c *actor) bringUpUnlessOverruled(ctx context.Context) error {
	op, cancel := context.WithCancel(ctx)
	defer cancel()
	c.setOp(cancel)
	defer c.setOp(nil)
	if c.overruled(c.a.goalOf(c.key)) {
		return nil // it came before there was anything to cut short
	}
	err := c.bringUp(op)
	if err != nil && op.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return err
}

// bringUp takes an instance from nothing, or from what an interrupted attempt left, to running.
func (c *actor) bringUp(ctx context.Context) error {
	rt, err := c.runtime()
	if err != nil {
		return err
	}
	began := time.Now()
	c.report(wire.StateCreating, c.restartDetail("getting image "+c.have.Spec.Image))
	if err := rt.Pull(ctx, c.have.Spec); err != nil {
		return err
	}
	c.report(wire.StateCreating, c.restartDetail("creating"))
	path, err := c.a.opts.Namespaces.Create(ctx, c.have.ID())
	if err != nil {
		return err
	}
	network := c.attachAside(ctx, path)
	defer network.end()
	if c.unattached { // as it was last time: no container before there is a network for it
		if _, err := network.wait(); err != nil {
			return err
		}
	}
	select {
	case c.a.slots <- struct{}{}:
		defer func() { <-c.a.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, createTimeout, fmt.Errorf("the runtime took longer than %s", createTimeout))
	defer cancel()
	if err := rt.Create(ctx, *c.have, path); err != nil {
		return err
	}
	c.phase = runtime.PhaseIncomplete
	endpoint, err := network.wait()
	if err != nil {
		return errors.Join(err, rt.Remove(ctx, c.have.ID()))
	}
	c.report(wire.StateCreated, c.restartDetail(""))
	if err := rt.Start(ctx, c.have.ID(), endpoint.Gateway); err != nil {
		return err
	}
	c.phase, c.started, c.exhausted = runtime.PhaseRunning, time.Now(), false
	if c.have.Spec.Readiness != nil {
		ready := false
		c.ready, c.doubt = &ready, "waits for its readiness probe, "+probe.String(c.have.Spec.Readiness)
	}
	c.watch(c.a.runContext(), probe.Failing, probe.Healthy)
	c.log.Info("running", "generation", c.have.Generation.String(), "took", time.Since(began).Round(time.Millisecond), "restarts", c.have.Restarts)
	c.report(wire.StateRunning, c.runningDetail())
	return nil
}

// onEnd notes that the running copy has ended.
func (c *actor) onEnd(e ended) {
	if c.have == nil || c.phase != runtime.PhaseRunning || e.id != c.have.ID() {
		return
	}
	c.stopWatching()
	c.phase, c.exit, c.due = runtime.PhaseExited, e.exit, time.Time{}
	if e.gone {
		c.exit = runtime.Exit{Code: 255, At: time.Now()}
	}
}

// restartDetail keeps the reason for a restart in sight while the instance is brought up again.
func (c *actor) restartDetail(doing string) string {
	if c.have.Restarts == 0 || c.crashes == 0 {
		return doing
	}
	text := fmt.Sprintf("restart %d: %s before", c.have.Restarts, c.last)
	if doing != "" {
		text = doing + "; " + text
	}
	return text
}

// runningDetail is the detail of a copy that runs.
func (c *actor) runningDetail() string {
	doing := c.doubt
	if doing == "" && c.ready != nil && *c.ready {
		doing = "ready"
	}
	return c.restartDetail(doing)
}
