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
