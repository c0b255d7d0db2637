// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// TestTombstoneJustBeforeThePullIsSeen has the tombstone come between the look at the goal and the begin of the pull, which
// may take a quarter of an hour.
func TestTombstoneJustBeforeThePullIsSeen(t *testing.T) {
	w := newWorker(t)
	w.stop() // the test is the actor
	pulled := false
	w.runtime.pull = func(context.Context, wire.InstanceSpec) error {
		pulled = true
		return errors.New("no")
	}
	in := runtime.Instance{InstanceKey: key(svcA), Generation: gen(1, 1), Spec: want(svcA, gen(1, 1)).Spec}
	c := newActor(w.agent, key(svcA), nil)
	c.adoptGoal(in)
	w.apply(desired(1, 1, nil, tomb(svcA, gen(1, 1))))
	if err := c.bringUpUnlessOverruled(t.Context()); err != nil || pulled {
		t.Fatalf("pulled %v, %v", pulled, err)
	}
}

// TestRemainsOfAKilledCreationGoWithItsTombstone: NodeEngine was killed after the file system was made and before the container
// was, and the instance was deleted while it was down.
func TestRemainsOfAKilledCreationGoWithItsTombstone(t *testing.T) {
	w := newWorker(t)
	var asked atomic.Int32
	w.runtime.remove = func(i string) error {
		if i != id(svcA, gen(1, 1)) {
			t.Errorf("removes %s", i)
		}
		if asked.Add(1) == 1 {
			return errors.New("containerd is away")
		}
		return nil
	}
	if _, err := w.spaces.Create(t.Context(), id(svcA, gen(1, 1))); err != nil {
		t.Fatal(err)
	}
	w.apply(desired(1, 1, nil, tomb(svcA, gen(1, 1))))
	w.awaitState(svcA, gen(1, 1), wire.StateUndeployed)
	if left, _ := w.spaces.List(); len(left) > 0 || asked.Load() != 2 {
		t.Fatalf("left %v, asked %d times", left, asked.Load())
	}
	w.apply(desired(1, 2, nil, tomb(svcA, gen(1, 1)))) // told again, nothing is done again
	w.apply(desired(1, 3, list(want(svcA, gen(2, 1))), tomb(svcA, gen(1, 1))))
	w.awaitState(svcA, gen(2, 1), wire.StateRunning)
	if asked.Load() != 2 || !slices.Contains(w.runtime.events, "start "+id(svcA, gen(2, 1))) {
		t.Fatalf("asked %d times, %v", asked.Load(), w.runtime.events)
	}
}

// TestWaitsUntilItIsKnownWhatRuns: a runtime that cannot tell what it has, as while a shim is being cleaned up, neither ends the
// program nor has anything started twice.
func TestWaitsUntilItIsKnownWhatRuns(t *testing.T) {
	w := newWorker(t)
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)))))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	w.runtime.mu.Lock()
	w.runtime.unlisted = 3
	w.runtime.mu.Unlock()
	w.restart()
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	if w.runtime.creates != 1 {
		t.Fatalf("created %d times", w.runtime.creates)
	}
}

// TestNothingIsReportedBeforeItIsKnownWhatRuns: a cluster that hears a full list without an instance that is to stop takes it for
// stopped, and forgets its tombstone; it would run on for ever.
func TestNothingIsReportedBeforeItIsKnownWhatRuns(t *testing.T) {
	w := newWorker(t)
	w.apply(desired(1, 1, list(want(svcA, gen(1, 1)), want(svcB, gen(1, 1)))))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	w.awaitState(svcB, gen(1, 1), wire.StateRunning)
	w.stop()
	for range 50 { // the actors must not be given time to tell what was found
		a, err := New(w.agent.opts)
		if err != nil {
			t.Fatal(err)
		}
		a.WantFull()
		if list, full, applied := a.TakeReport(); len(list) > 0 || full || !applied.IsZero() {
			t.Fatalf("reports %v, full %v, %s", list, full, applied)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		for {
			<-a.Changes()
			list, full, applied := a.TakeReport()
			if applied.IsZero() {
				continue
			}
			if !full || len(list) != 2 || list[0].State != wire.StateRunning || list[1].State != wire.StateRunning {
				t.Fatalf("the first report holds %+v, full %v", list, full)
			}
			break
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}
