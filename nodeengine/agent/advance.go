// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// advance does one thing towards the goal. It returns true if there may be more to do at once.
func (c *actor) advance(ctx context.Context, g goal) (bool, error) {
	if len(c.older) == 0 && (c.have == nil || !g.stops(c.have.Generation)) {
		if g.tomb != nil && c.swept != *g.tomb {
			if err := c.sweep(ctx, *g.tomb); err != nil {
				return false, err
			}
		}
		if c.a.reportTombstone(c.key, g.tomb) && c.have == nil {
			c.setDetach(*g.tomb) // nothing runs here, but an endpoint may be left
		}
	}
	switch {
	case len(c.older) > 0: // a higher generation is here: that copy is dead to all the world
		return true, c.removeOlder(ctx)
	case c.have != nil && g.stops(c.have.Generation):
		return true, c.stop(ctx)
	case c.have != nil && g.want != nil && g.want.Generation.Compare(c.have.Generation) > 0:
		c.log.Info("replacing", "generation", c.have.Generation.String(), "by", g.want.Generation.String())
		return true, c.stop(ctx)
	case c.have == nil && g.want != nil:
		c.adoptGoal(*g.want)
		return true, nil
	case c.have == nil:
		return false, c.giveAddressesBack(ctx)
	case c.phase == runtime.PhaseCompleted: // nothing of it runs
	case g.rest && !c.resting:
		return true, c.rest(ctx)
	case g.rest:
		return false, c.giveAddressesBack(ctx)
	case c.resting:
		return true, c.wakeUp(ctx)
	}
	switch c.phase {
	case phaseNone, runtime.PhaseIncomplete:
		return true, c.bringUpUnlessOverruled(ctx)
	case runtime.PhaseRunning:
		if c.sick != "" {
			return true, c.endSick(ctx)
		}
		if c.takeReattach() {
			if err := c.attach(ctx); err != nil {
				c.log.Warn("running instance is not attached again yet", "error", err)
				c.due = time.Now().Add(c.a.opts.LastBackOff)
				c.mu.Lock()
				c.reattach = true
				c.mu.Unlock()
				return false, nil
			}
		}
		return false, c.giveAddressesBack(ctx)
	case runtime.PhaseExited:
		return true, c.afterExit(ctx)
	default: // completed
		return false, c.giveAddressesBack(ctx)
	}
}

func (c *actor) adoptGoal(in runtime.Instance) {
	c.have, c.phase, c.exit = &in, phaseNone, runtime.Exit{}
	c.crashes, c.fails, c.elsewhere, c.exhausted, c.resting, c.due, c.began = 0, 0, false, false, false, time.Time{}, time.Now()
	c.ready, c.doubt, c.sick = nil, "", ""
	c.report(wire.StateCreating, "")
}

// runtime returns the runtime of the copy that is here.
func (c *actor) runtime() (runtime.Runtime, error) {
	rt, ok := c.a.opts.Runtimes[c.have.Spec.Runtime]
	if !ok {
		return nil, fmt.Errorf("this worker has no runtime for virtualization %q: let the descriptor name one that it has", c.have.Spec.Runtime)
	}
	return rt, nil
}

// stop ends the copy that is here and forgets it. Its addresses are given back afterwards, which must not hold up the stop.
func (c *actor) stop(ctx context.Context) error {
	gen, id := c.have.Generation, c.have.ID()
	c.stopWatching()
	if rt, err := c.runtime(); err == nil {
		if err := c.remove(ctx, rt, id); err != nil {
			if c.phase == runtime.PhaseRunning {
				c.phase = runtime.PhaseIncomplete // it may be half gone, and is not watched any more
			}
			return fmt.Errorf("stop: %w", err)
		}
	}
	c.log.Info("stopped", "generation", gen.String())
	c.have, c.phase, c.due, c.swept = nil, phaseNone, time.Time{}, gen
	c.setDetach(gen)
	c.clearReport()
	return nil
}

// sweep removes what a creation that was killed half-way may have left of a generation that is not to come back: its namespace, and
// with the runtime a file system and files to which no container belongs yet.
func (c *actor) sweep(ctx context.Context, gen wire.Generation) error {
	for _, rt := range c.a.opts.Runtimes {
		if err := c.remove(ctx, rt, runtime.ID(c.key, gen)); err != nil {
			return fmt.Errorf("remove what is left of generation %s: %w", gen, err)
		}
	}
	c.swept = gen
	return nil
}

func (c *actor) setDetach(gen wire.Generation) {
	if c.detach == nil || gen.Compare(*c.detach) > 0 {
		c.detach = &gen
	}
}

// remove takes copy, namespace and log away.
func (c *actor) remove(ctx context.Context, rt runtime.Runtime, id string) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	if err := rt.Remove(ctx, id); err != nil {
		return err
	}
	if err := c.a.opts.Namespaces.Remove(id); err != nil {
		return err
	}
	return rt.DropLog(id)
}

func (c *actor) removeOlder(ctx context.Context) error {
	old := c.older[0]
	rt, ok := c.a.opts.Runtimes[old.Spec.Runtime]
	if ok {
		if err := c.remove(ctx, rt, old.ID()); err != nil {
			return fmt.Errorf("remove older copy %s: %w", old.ID(), err)
		}
	}
	c.older = c.older[1:]
	return nil
}

// giveAddressesBack detaches a stopped generation, again and again until NetManager has taken note.
func (c *actor) giveAddressesBack(ctx context.Context) error {
	if c.detach == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, attachTimeout)
	defer cancel()
	if err := c.a.opts.Network.Detach(ctx, c.key, *c.detach); err != nil {
		return fmt.Errorf("give addresses of generation %s back: %w", *c.detach, err)
	}
	c.detach = nil
	return nil
}
