// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/lifecycle"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// rows are what is reported of one instance: its copy, and that a tombstone was obeyed. Both exist at once while a newer
// generation runs here and the tombstone of the older is not yet taken back.
type rows struct {
	spec *wire.InstanceSpec
	copy *wire.InstanceReport
	gone *wire.InstanceReport
	// elsewhere says of the copy that another worker should be looked for.
	elsewhere bool
	// unclaimed is what was last told.
	unclaimed bool
}

// Changes is signalled when there is something new to report.
func (a *Agent) Changes() <-chan struct{} { return a.notify }

// signal wakes the reporter. The lock is held.
func (a *Agent) signal() {
	select {
	case a.notify <- struct{}{}:
	default:
	}
}

// WantFull has the next report hold everything.
func (a *Agent) WantFull() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.full = true
	a.signal()
}

// TakeReport returns what changed since the last call, or everything if that is due. A report that does not arrive is made
// good by [Agent.WantFull].
func (a *Agent) TakeReport() (list []wire.WorkerInstance, full bool, applied wire.Stamp) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx == nil { // until Run knows what is here, an empty list would say that nothing is
		return nil, false, wire.Stamp{}
	}
	full = a.full
	for key, c := range a.actors {
		if _, ok := a.changed[key]; ok || full {
			list = a.appendRows(list, c)
			c.rows.unclaimed = a.unclaimed(c)
		}
	}
	clear(a.changed)
	a.full = false
	sortRows(list)
	return list, full, a.applied
}

// Instances returns everything, and changes nothing.
func (a *Agent) Instances() []wire.WorkerInstance {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []wire.WorkerInstance
	for _, c := range a.actors {
		list = a.appendRows(list, c)
	}
	sortRows(list)
	return list
}

func sortRows(list []wire.WorkerInstance) {
	slices.SortFunc(list, func(x, y wire.WorkerInstance) int {
		if d := x.InstanceKey.Compare(y.InstanceKey); d != 0 {
			return d
		}
		return x.Generation.Compare(y.Generation)
	})
}

func (a *Agent) appendRows(list []wire.WorkerInstance, c *actor) []wire.WorkerInstance {
	if c.rows.gone != nil {
		list = append(list, wire.WorkerInstance{InstanceReport: *c.rows.gone})
	}
	if c.rows.copy == nil {
		return list
	}
	w := wire.WorkerInstance{InstanceReport: *c.rows.copy, Elsewhere: c.rows.elsewhere}
	if a.unclaimed(c) {
		w.Unclaimed, w.Spec = true, c.rows.spec
	}
	return append(list, w)
}

// unclaimed reports whether a copy is here that no list mentions. The lock is held.
func (a *Agent) unclaimed(c *actor) bool {
	if c.rows.copy == nil {
		return false
	}
	gen := c.rows.copy.Generation
	d, wanted := a.desired[c.key]
	t, stopped := a.tombs[c.key]
	claimed := wanted && d.Generation == gen || stopped && gen.Compare(t) <= 0
	return !claimed
}

// report sets the state of the copy that is here.
func (c *actor) report(state wire.State, detail string) { c.tell(state, detail, false) }

// tell sets the state; failure marks the telling of something that went wrong.
func (c *actor) tell(state wire.State, detail string, failure bool) {
	if c.have == nil {
		return
	}
	elsewhere := c.elsewhere || c.exhausted && state != wire.StateRunning
	c.a.mu.Lock()
	defer c.a.mu.Unlock()
	old := c.rows.copy
	if old != nil && old.Generation == c.have.Generation && old.State == wire.StateFailed && (state == wire.StateCreating || state == wire.StateCreated) {
		state = wire.StateFailed // until an attempt has succeeded
		if c.fails > 0 && len(old.Detail) > 0 && !failure {
			return // what went wrong says more than what is tried
		}
	}
	if old != nil && old.Generation == c.have.Generation && elsewhere && c.rows.elsewhere && !failure {
		return // likewise
	}
	r := wire.InstanceReport{InstanceKey: c.key, Generation: c.have.Generation, State: state, Detail: detail, Restarts: c.have.Restarts, Ready: c.ready, Since: time.Now()}
	if old != nil && old.Generation == r.Generation && old.State == state {
		r.Since, r.CPUPercent, r.MemoryBytes = old.Since, old.CPUPercent, old.MemoryBytes
		if same(*old, r) && c.rows.elsewhere == elsewhere {
			return
		}
	}
	if old != nil && old.Generation == r.Generation && !lifecycle.Allowed(old.State, r.State) {
		c.log.Error("instance goes a way that there is not", "generation", r.Generation.String(), "from", old.State, "to", r.State, "detail", detail)
		c.a.astray.Add(1)
	}
	if old == nil && state == wire.StateRunning && !c.started.IsZero() {
		r.Since = c.started
	}
	spec := c.have.Spec
	c.rows.copy, c.rows.spec, c.rows.elsewhere = &r, &spec, elsewhere
	c.a.changed[c.key] = struct{}{}
	c.a.signal()
}

// same reports whether two reports say the same.
func same(a, b wire.InstanceReport) bool {
	if a.Ready != nil && b.Ready != nil && *a.Ready == *b.Ready {
		b.Ready = a.Ready
	}
	return a == b
}

// clearReport forgets the state of a copy that is not here any more.
func (c *actor) clearReport() {
	c.a.mu.Lock()
	defer c.a.mu.Unlock()
	c.rows.copy, c.rows.spec, c.rows.elsewhere = nil, nil, false
}

// adoptedState is the first state to report of a copy that was found.
func (c *actor) adoptedState() (wire.State, string) {
	switch c.phase {
	case runtime.PhaseRunning:
		return wire.StateRunning, ""
	case runtime.PhaseCompleted:
		return finalState(c.exit)
	case runtime.PhaseExited:
		if c.a.opts.restartOf(&c.have.Spec).final(c.exit) != "" {
			return finalState(c.exit)
		}
		return wire.StateCreating, ""
	default:
		return wire.StateCreating, ""
	}
}

// reportFailure tells a failed step. Trouble with the overlay, or while stopping, does not change the state.
func (c *actor) reportFailure(err error, pause time.Duration) {
	c.log.Warn("instance does not get on", "error", err, "retry_in", pause)
	if c.have == nil || c.phase == runtime.PhaseRunning || c.phase == runtime.PhaseCompleted {
		return
	}
	state := wire.StateCreating
	var image *runtime.ImageError
	var network *networkError
	switch {
	case errors.As(err, &network):
	case errors.As(err, &image), c.fails >= failsUntilFailed:
		state = wire.StateFailed
	}
	detail := fmt.Sprintf("%s; tried again in %s", errorText(err), pause.Round(10*time.Millisecond))
	if c.fails > 1 && time.Since(c.began) > c.a.opts.FailWithin {
		c.exhausted = true
		detail += ", and another worker is looked for"
	}
	c.tell(state, detail, true)
}

func errorText(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return err.Error() + ": the machine may be overloaded"
	}
	return err.Error()
}

// reportTombstone tells that a tombstone was obeyed, for as long as it is there. It returns true the first time.
func (a *Agent) reportTombstone(key wire.InstanceKey, tomb *wire.Generation) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.actors[key]
	if !ok {
		return false
	}
	if tomb == nil {
		c.rows.gone = nil
		return false
	}
	if c.rows.gone != nil && c.rows.gone.Generation == *tomb {
		return false
	}
	c.rows.gone = &wire.InstanceReport{InstanceKey: key, Generation: *tomb, State: wire.StateUndeployed, Since: time.Now()}
	a.changed[key] = struct{}{}
	a.signal()
	return true
}

// forget ends an actor that has nothing here and nothing to do.
func (a *Agent) forget(c *actor) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, wanted := a.desired[c.key]
	_, stopped := a.tombs[c.key]
	if c.have != nil || c.detach != nil || len(c.older) > 0 || wanted || stopped {
		return false
	}
	delete(a.actors, c.key)
	return true
}
