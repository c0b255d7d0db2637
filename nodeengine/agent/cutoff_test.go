// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// cutOff makes the worker one that stops its instances when it is cut off for a second.
func (w *worker) cutOff() *atomic.Bool {
	w.t.Helper()
	var connected atomic.Bool
	connected.Store(true)
	w.stop()
	w.whenCutOff = CutOff{Stop: true, Connected: connected.Load, Check: 5 * time.Millisecond, Settle: 30 * time.Millisecond}
	w.restart()
	return &connected
}

func lostAfter(d wire.Desired, seconds int) wire.Desired {
	d.LostAfterSeconds = seconds
	return d
}

func TestCutOffKeepsInstancesUnlessToldOtherwise(t *testing.T) {
	w := newWorker(t)
	w.stop()
	w.whenCutOff = CutOff{Connected: func() bool { return false }, Check: time.Millisecond}
	w.restart()
	w.apply(lostAfter(desired(1, 1, list(want(svcA, gen(1, 1)))), 1))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if n, _ := w.runtime.running(""); n != 1 {
			t.Fatal("stopped")
		}
	}
}

func TestCutOffWorkerStopsWhenItIsToldTo(t *testing.T) {
	w := newWorker(t)
	connected := w.cutOff()
	once := want(svcB, gen(1, 1))
	once.Spec.OneShot = true
	d := lostAfter(desired(1, 1, list(want(svcA, gen(1, 1)), once)), 1)
	w.apply(d)
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	w.awaitState(svcB, gen(1, 1), wire.StateRunning)
	w.runtime.end(t, id(svcB, gen(1, 1)), 0)
	w.awaitState(svcB, gen(1, 1), wire.StateCompleted)

	connected.Store(false)
	began := time.Now()
	w.eventually("stopped", func() bool { n, _ := w.runtime.running(""); return n == 0 })
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("stopped after %s already", took)
	}
	w.eventually("says why", func() bool {
		r := w.row(svcA, gen(1, 1))
		return r.State == wire.StateCreating && strings.Contains(r.Detail, "--when-cut-off") && !w.net.has(key(svcA))
	})
	w.awaitState(svcB, gen(1, 1), wire.StateCompleted)
	w.restart() // starts nothing meanwhile
	time.Sleep(50 * time.Millisecond)
	if n, _ := w.runtime.running(""); n != 0 {
		t.Fatal("a restart of the program has started it")
	}

	connected.Store(true) // which by itself says nothing of what is wanted
	time.Sleep(100 * time.Millisecond)
	if n, _ := w.runtime.running(""); n != 0 {
		t.Fatal("started before the cluster has spoken")
	}
	w.apply(d) // as retained
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	w.eventually("with addresses", func() bool { return w.net.has(key(svcA)) })
	w.awaitState(svcB, gen(1, 1), wire.StateCompleted)
}

func TestWhatHasGoneToOthersIsNotStartedAgain(t *testing.T) {
	w := newWorker(t)
	connected := w.cutOff()
	d := lostAfter(desired(1, 1, list(want(svcA, gen(1, 1)))), 1)
	w.apply(d)
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	connected.Store(false)
	w.eventually("stopped", func() bool { n, _ := w.runtime.running(""); return n == 0 })
	creates := w.runtime.creates
	connected.Store(true)
	w.apply(d)
	w.apply(lostAfter(desired(1, 2, nil, tomb(svcA, gen(1, 1))), 1)) // at once after what was retained
	w.awaitState(svcA, gen(1, 1), wire.StateUndeployed)
	time.Sleep(100 * time.Millisecond)
	if n, _ := w.runtime.running(""); n != 0 || w.runtime.creates != creates {
		t.Errorf("%d run, created %d times more", n, w.runtime.creates-creates)
	}
}

func TestShortCutStopsNothing(t *testing.T) {
	w := newWorker(t)
	connected := w.cutOff()
	w.apply(lostAfter(desired(1, 1, list(want(svcA, gen(1, 1)))), 3600))
	w.awaitState(svcA, gen(1, 1), wire.StateRunning)
	connected.Store(false)
	time.Sleep(100 * time.Millisecond)
	connected.Store(true)
	time.Sleep(50 * time.Millisecond)
	if n, _ := w.runtime.running(""); n != 1 || w.runtime.creates != 1 {
		t.Errorf("%d run, created %d times", n, w.runtime.creates)
	}
}
