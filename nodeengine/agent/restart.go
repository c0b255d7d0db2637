// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// attemptsWindow is the time within which restarts are counted against the attempts of a restart policy.
const attemptsWindow = time.Hour

// defaultAttempts is how many restarts within the window are made unless the descriptor says otherwise.
const defaultAttempts = 5

// killedCode is the exit status of what a liveness probe had killed: that of SIGKILL.
const killedCode = 137

// restart is a restart policy with the defaults filled in.
type restart struct {
	policy      string
	attempts    int
	first, last time.Duration
}

func (o *Options) restartOf(spec *wire.InstanceSpec) restart {
	r := restart{policy: wire.RestartAlways, attempts: defaultAttempts, first: o.FirstBackOff, last: o.LastBackOff}
	if spec.OneShot {
		r.policy = wire.RestartOnFailure
	}
	p := spec.Restart
	if p == nil {
		return r
	}
	if p.Policy != "" && (!spec.OneShot || p.Policy != wire.RestartAlways) { // a one-shot that ended well is done, whatever else it says
		r.policy = p.Policy
	}
	r.attempts = cmp.Or(max(p.Attempts, 0), r.attempts)
	if p.DelaySeconds > 0 {
		r.first = time.Duration(p.DelaySeconds) * time.Second
	}
	r.last = max(r.first, r.last)
	if p.MaxDelaySeconds > 0 {
		r.last = max(r.first, time.Duration(p.MaxDelaySeconds)*time.Second)
	}
	return r
}

// final returns the state in which a copy that ended so stays, or "" if it is to be started again.
func (r restart) final(exit runtime.Exit) wire.State {
	switch {
	case exit.Code == 0 && r.policy != wire.RestartAlways:
		return wire.StateCompleted
	case r.policy == wire.RestartNever:
		return wire.StateDead
	}
	return ""
}

// finalState is the state of a copy that is not to run again.
func finalState(exit runtime.Exit) (wire.State, string) {
	if exit.Code == 0 {
		return wire.StateCompleted, exitText(exit)
	}
	return wire.StateDead, exitText(exit) + ": its restart policy has it not started again"
}

// afterExit decides about a copy that has ended: over for good, or to be started again after a pause.
func (c *actor) afterExit(ctx context.Context) error {
	rt, err := c.runtime()
	if err != nil {
		return err
	}
	policy := c.a.opts.restartOf(&c.have.Spec)
	if policy.final(c.exit) != "" {
		return c.finish(ctx, rt)
	}
	if c.exit.At.IsZero() || c.exit.At.Before(c.started) {
		c.exit.At = time.Now()
	}
	ran := c.exit.At.Sub(c.started)
	if ran >= c.a.opts.Stable {
		c.crashes = 0
	}
	c.crashes++
	c.last, c.sick = c.endText(), ""
	c.have.Restarts++
	c.countEnd(policy)
	pause := backOff(policy.first, policy.last, c.crashes)
	c.due, c.phase, c.began = time.Now().Add(pause), runtime.PhaseIncomplete, time.Now().Add(pause)
	detail := fmt.Sprintf("%s after %s: restart %d in %s", c.last, ran.Round(time.Millisecond), c.have.Restarts, pause.Round(time.Millisecond))
	state := wire.StateCreating
	if c.exhausted {
		state = wire.StateFailed
		detail += fmt.Sprintf("; it ended %d times within the hour, so that another worker is looked for", len(c.have.Ends))
	}
	c.log.Warn("instance ended", "generation", c.have.Generation.String(), "detail", detail)
	c.ready, c.doubt = nil, ""
	c.tell(state, detail, true)
	return nil
}

// countEnd notes one more end, and whether those within the window are more than the policy allows on one worker.
func (c *actor) countEnd(policy restart) {
	now := time.Now()
	ends := slices.DeleteFunc(slices.Clone(c.have.Ends), func(at time.Time) bool { return now.Sub(at) > attemptsWindow || at.After(now) })
	ends = append(ends, now)
	c.exhausted = len(ends) > policy.attempts
	c.have.Ends = ends[max(0, len(ends)-policy.attempts-1):]
}

// endSick ends a copy whose liveness probe has failed; what follows is as after any other end.
func (c *actor) endSick(ctx context.Context) error {
	rt, err := c.runtime()
	if err != nil {
		return err
	}
	c.log.Warn("ending an instance whose liveness probe fails", "generation", c.have.Generation.String(), "probe", c.sick)
	c.stopWatching()
	c.exit = runtime.Exit{Code: killedCode, At: time.Now()}
	if c.a.opts.restartOf(&c.have.Spec).final(c.exit) == "" { // else the container is kept, with what became of it
		ctx, cancel := context.WithTimeout(ctx, removeTimeout)
		defer cancel()
		if err := rt.Remove(ctx, c.have.ID()); err != nil {
			return fmt.Errorf("end it, since its liveness probe fails (%s): %w", c.sick, err)
		}
	}
	c.phase = runtime.PhaseExited
	return nil
}

// endText says why a copy ended.
func (c *actor) endText() string {
	if c.sick != "" {
		return "liveness probe failed: " + c.sick
	}
	return exitText(c.exit)
}

// exitText says how a copy ended, as far as it can be known.
func exitText(e runtime.Exit) string {
	switch {
	case e.OutOfMemory:
		return fmt.Sprintf("ended with code %d because it used more memory than the descriptor allows: raise memory", e.Code)
	case e.Code > 128 && e.Code < 160:
		return fmt.Sprintf("ended with code %d (signal %d)", e.Code, e.Code-128)
	default:
		return fmt.Sprintf("ended with code %d", e.Code)
	}
}

// finish leaves a copy that is not to run again as it is, and gives back what it held.
func (c *actor) finish(ctx context.Context, rt runtime.Runtime) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	id := c.have.ID()
	if err := rt.Complete(ctx, id, c.exit); err != nil && !errors.Is(err, runtime.ErrNotFound) {
		return err
	}
	if err := c.a.opts.Namespaces.Remove(id); err != nil {
		return err
	}
	c.phase = runtime.PhaseCompleted
	c.setDetach(c.have.Generation)
	state, detail := finalState(c.exit)
	if c.sick != "" {
		detail = c.endText() + ": its restart policy has it not started again"
	}
	c.log.Info("ended for good", "generation", c.have.Generation.String(), "detail", detail)
	c.ready, c.doubt = nil, ""
	c.report(state, detail)
	return nil
}
