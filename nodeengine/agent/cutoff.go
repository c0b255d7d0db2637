// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

const (
	// defaultLostAfter is when a worker that is cut off counts as lost, unless its cluster has said another time.
	defaultLostAfter = 60 * time.Second
	// cutOffCheck is how often the session is looked at.
	cutOffCheck = time.Second
	// settleTime is how long, once the cluster is heard again, instances that were stopped wait for what it has to say of them: those
	// that have gone to others are not started for a moment.
	settleTime = 2 * time.Second
)

// CutOff is what a worker that stops its instances when it is cut off goes by. The zero value keeps them running.
type CutOff struct {
	// Stop has all instances stopped once the cluster has not been there for as long as it takes to give them to others.
	Stop bool
	// Connected reports whether the session with the cluster is up.
	Connected func() bool
	// Check and Settle take the place of the package's own times in tests; 0 for those.
	Check, Settle time.Duration
}

func (a *Agent) restingPath() string { return filepath.Join(a.opts.StateDir, "resting.json") }

// loadResting takes over that instances were stopped when the program ended: it is started no sooner than the cluster is heard.
func (a *Agent) loadResting() error {
	var since time.Time
	err := statefile.Read(a.restingPath(), &since)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("load whether instances are stopped: %w", err)
	}
	a.resting = err == nil && a.opts.CutOff.Stop
	return nil
}

// watchContact stops all instances when the cluster is away for too long, and starts them when it is back, until ctx ends.
func (a *Agent) watchContact(ctx context.Context) {
	tick := time.NewTicker(a.opts.CutOff.Check)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.mu.Lock()
		resting, heard, lostAfter := a.resting, a.heard, a.lostAfter
		a.mu.Unlock()
		connected := a.opts.CutOff.Connected()
		switch {
		case connected && !resting, !connected && resting:
			last = time.Now() // what was heard before does not count
		case connected && heard.After(last) && time.Since(heard) >= a.opts.CutOff.Settle:
			a.rest(false, "the cluster is back: instances are started again")
		case !connected && time.Since(last) > lostAfter:
			a.rest(true, "the cluster has been away for too long: all instances are stopped, as --when-cut-off says")
		}
	}
}

// rest stores that instances are to be stopped, or started again, and has it done.
func (a *Agent) rest(stop bool, why string) {
	var err error
	if stop {
		err = statefile.Write(a.restingPath(), time.Now())
	} else if err = os.Remove(a.restingPath()); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		a.opts.Log.Error("whether instances are stopped is not stored", "error", err) // done all the same: it is about this moment
	}
	a.opts.Log.Warn(why)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.resting = stop
	for _, c := range a.actors {
		c.nudge()
	}
}

// rest stops the copy that is here, which is started again later.
func (c *actor) rest(ctx context.Context) error {
	rt, err := c.runtime()
	if err != nil {
		return err
	}
	c.stopWatching()
	if err := c.remove(ctx, rt, c.have.ID()); err != nil {
		if c.phase == runtime.PhaseRunning {
			c.phase = runtime.PhaseIncomplete
		}
		return fmt.Errorf("stop while cut off: %w", err)
	}
	c.phase, c.resting, c.due = phaseNone, true, time.Time{}
	c.ready, c.doubt, c.sick = nil, "", ""
	c.setDetach(c.have.Generation)
	c.tell(wire.StateCreating, "stopped, since the cluster was away for too long (--when-cut-off stop): started again once it is back", true)
	return nil
}

// wakeUp has a copy that was stopped brought up again, once its former addresses are given back.
func (c *actor) wakeUp(ctx context.Context) error {
	if err := c.giveAddressesBack(ctx); err != nil {
		return err
	}
	c.resting, c.began = false, time.Now()
	return nil
}
