// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// restarting is a wish with a restart policy.
func restarting(policy string, attempts int) wire.DesiredInstance {
	d := want(svcA, gen(1, 1))
	d.Spec.Restart = &wire.RestartPolicy{Policy: policy, Attempts: attempts}
	return d
}

// endOnce waits until the copy runs for the n-th time, and ends it.
func (w *worker) endOnce(n int, code uint32) {
	w.t.Helper()
	w.eventually("runs again", func() bool { r := w.row(svcA, gen(1, 1)); return r.State == wire.StateRunning && r.Restarts == n })
	w.runtime.end(w.t, id(svcA, gen(1, 1)), code)
}

func TestRestartPolicyDecidesWhatFollowsAnEnd(t *testing.T) {
	for _, c := range []struct {
		policy  string
		oneShot bool
		code    uint32
		state   wire.State
		creates int
		detail  string
	}{
		{wire.RestartAlways, false, 0, wire.StateRunning, 2, "restart 1: ended with code 0"},
		{wire.RestartAlways, false, 3, wire.StateRunning, 2, "restart 1: ended with code 3"},
		{wire.RestartAlways, true, 0, wire.StateCompleted, 1, "ended with code 0"},
		{wire.RestartOnFailure, false, 0, wire.StateCompleted, 1, "ended with code 0"},
		{wire.RestartOnFailure, false, 137, wire.StateRunning, 2, "signal 9"},
		{wire.RestartNever, false, 0, wire.StateCompleted, 1, "ended with code 0"},
		{wire.RestartNever, false, 7, wire.StateDead, 1, "ended with code 7: its restart policy has it not started again"},
		{wire.RestartNever, true, 7, wire.StateDead, 1, "ended with code 7"},
	} {
		w := newWorker(t)
		d := restarting(c.policy, 0)
		d.Spec.OneShot = c.oneShot
		w.apply(desired(1, 1, list(d)))
		w.endOnce(0, c.code)
		w.eventually("the end is dealt with", func() bool {
			r := w.row(svcA, gen(1, 1))
			return r.State == c.state && (c.state != wire.StateRunning || r.Restarts == 1)
		})
		if r := w.row(svcA, gen(1, 1)); !strings.Contains(r.Detail, c.detail) {
			t.Errorf("%+v: detail %q", c, r.Detail)
		}
		if c.state != wire.StateRunning {
			w.eventually("addresses are given back", func() bool { return !w.net.has(key(svcA)) })
		}
		w.restart() // and the end is for good
		w.awaitState(svcA, gen(1, 1), c.state)
		if w.runtime.creates != c.creates {
			t.Errorf("%+v: created %d times", c, w.runtime.creates)
		}
		w.apply(desired(1, 2, nil, tomb(svcA, gen(1, 1))))
		w.awaitState(svcA, gen(1, 1), wire.StateUndeployed)
	}
}

func TestAttemptsWithinAnHourThenElsewhere(t *testing.T) {
	w := newWorker(t)
	w.apply(desired(1, 1, list(restarting(wire.RestartAlways, 2))))
	w.endOnce(0, 1)
	w.endOnce(1, 1)
	w.eventually("runs a third time", func() bool {
		return w.row(svcA, gen(1, 1)).Restarts == 2 && w.row(svcA, gen(1, 1)).State == wire.StateRunning
	})
	if w.row(svcA, gen(1, 1)).Elsewhere {
		t.Error("given up after fewer attempts than allowed")
	}
	w.restart() // which forgets no attempt
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	pulls := make(chan struct{})
	w.runtime.mu.Lock()
	w.runtime.pull = func(ctx context.Context, _ wire.InstanceSpec) error {
		select {
		case <-pulls:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	w.runtime.mu.Unlock()
	w.runtime.end(t, id(svcA, gen(1, 1)), 1)
	r := w.awaitState(svcA, gen(1, 1), wire.StateFailed)
	if !r.Elsewhere || !strings.Contains(r.Detail, "another worker is looked for") || r.Ready != nil {
		t.Errorf("%+v", r)
	}
	close(pulls)
	if r := w.awaitState(svcA, gen(1, 1), wire.StateRunning); r.Elsewhere {
		t.Errorf("one that runs is to be moved: %+v", r)
	}
}

func TestAttemptsAreCountedWithinTheHour(t *testing.T) {
	now := time.Now()
	c := &actor{have: &runtime.Instance{Ends: []time.Time{now.Add(-3 * time.Hour), now.Add(-61 * time.Minute), now.Add(-59 * time.Minute), now.Add(time.Hour)}}}
	c.countEnd(restart{attempts: 2})
	if c.exhausted || len(c.have.Ends) != 2 {
		t.Errorf("after two of the last hour: %v", c.have.Ends)
	}
	c.countEnd(restart{attempts: 2})
	if !c.exhausted {
		t.Error("three ends are not more than two")
	}
	for range 1000 {
		c.countEnd(restart{attempts: 2})
	}
	if len(c.have.Ends) != 3 || !slices.IsSortedFunc(c.have.Ends, time.Time.Compare) {
		t.Errorf("%d ends are kept", len(c.have.Ends))
	}
}

func TestPolicyOfADescriptor(t *testing.T) {
	o := Options{}
	o.setDefaults()
	for _, c := range []struct {
		spec wire.InstanceSpec
		want restart
	}{
		{wire.InstanceSpec{}, restart{wire.RestartAlways, 5, 100 * time.Millisecond, 30 * time.Second}},
		{wire.InstanceSpec{OneShot: true}, restart{wire.RestartOnFailure, 5, 100 * time.Millisecond, 30 * time.Second}},
		{wire.InstanceSpec{Restart: &wire.RestartPolicy{Policy: wire.RestartOnFailure, Attempts: 9, DelaySeconds: 40}}, restart{wire.RestartOnFailure, 9, 40 * time.Second, 40 * time.Second}},
		{wire.InstanceSpec{Restart: &wire.RestartPolicy{Policy: wire.RestartNever, Attempts: -1, DelaySeconds: 2, MaxDelaySeconds: 1}}, restart{wire.RestartNever, 5, 2 * time.Second, 2 * time.Second}},
		{wire.InstanceSpec{Restart: &wire.RestartPolicy{MaxDelaySeconds: 7}}, restart{wire.RestartAlways, 5, 100 * time.Millisecond, 7 * time.Second}},
	} {
		if got := o.restartOf(&c.spec); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.spec.Restart, got, c.want)
		}
	}
}

func TestWhatCannotBeBroughtUpGoesElsewhere(t *testing.T) {
	w := newWorker(t)
	w.stop()
	w.failWithin = 30 * time.Millisecond
	w.runtime.pull = func(context.Context, wire.InstanceSpec) error {
		return &runtime.ImageError{Image: "img", Err: errors.New("the registry is silent"), WayOut: "look at it"}
	}
	w.restart()
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)))))
	if r := w.awaitState(svcA, gen(1, 1), wire.StateFailed); r.Elsewhere {
		t.Errorf("given up at the first failure: %+v", r)
	}
	w.eventually("another worker is looked for", func() bool {
		r := w.row(svcA, gen(1, 1))
		return r.Elsewhere && r.State == wire.StateFailed && strings.Contains(r.Detail, "the registry is silent")
	})
}
