// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// order has root say what a worker is to be used for.
func (b *bed) order(w string, mode wire.WorkerMode, revision uint64) {
	b.Apply(b.TakeDesired(&wire.ClusterDesired{Orders: []wire.WorkerOrder{
		{WorkerID: w, Mode: mode, Reason: "new disk", Stamp: wire.Stamp{Epoch: 1, Revision: revision}}}}))
}

func TestACordonedWorkerKeepsWhatItHasAndGetsNothing(t *testing.T) {
	b := newBed(2)
	b.want(1, 0, 1)
	b.settle()
	b.order("w1", wire.WorkerCordoned, 5)
	b.want(1, 2, 3, 4)
	b.settle()
	require.Equal(t, []string{"0 1.1 w1", "1 1.1 w2", "2 1.1 w2", "3 1.1 w2", "4 1.1 w2"}, b.placed())
	b.want(1, 5)
	b.settle()
	require.Equal(t, []string{"1.0 NO_WORKER_CAPACITY"}, normal(b.report(5)))
	v, _ := b.View("w1", b.now)
	require.Equal(t, "ready", v.Status)
	require.Equal(t, wire.WorkerCordoned, v.Mode)
	require.Contains(t, v.Reason, "new disk")
	require.Equal(t, 1, v.Instances)
	require.EqualValues(t, 3, v.Free.VCPUs)

	// Orders count by their stamps; the cluster's own word holds until a later one.
	b.order("w1", wire.WorkerOpen, 4)
	v, _ = b.View("w1", b.now)
	require.Equal(t, wire.WorkerCordoned, v.Mode, "an older order undoes nothing")
	ch, ok := b.SetMode("w1", wire.WorkerOpen, "")
	require.True(t, ok)
	b.Apply(ch)
	b.order("w1", wire.WorkerCordoned, 5)
	v, _ = b.View("w1", b.now)
	require.Equal(t, wire.WorkerOpen, v.Mode, "an order that is told again undoes nothing")
	b.settle()
	require.Contains(t, b.placed(), "5 1.1 w1", "what waited is placed")
	_, ok = b.SetMode("nobody", wire.WorkerOpen, "")
	require.False(t, ok)
}

// normal makes reports comparable whatever the scheduling failure is called.
func normal(all []string) []string {
	for i, s := range all {
		if s == "1.0 "+string(wire.StateNoWorkerCapacity) || s == "1.0 "+string(wire.StateNoQualifiedWorker) {
			all[i] = "1.0 NO_WORKER_CAPACITY"
		}
	}
	return all
}

func TestADrainedWorkerHandsOverBeforeItStops(t *testing.T) {
	b := newBed(2)
	b.want(1, 0, 1)
	b.settle()
	b.says("w1", 0, g(1, 1), wire.StateRunning)
	b.says("w2", 1, g(1, 1), wire.StateRunning)
	b.order("w1", wire.WorkerDrained, 5)
	b.settle()
	require.Equal(t, []string{"0 1.1 w1", "0 1.2 w2", "1 1.1 w2"}, b.placed(), "the old one stays")
	require.Equal(t, []string{"1.1 RUNNING"}, b.report(0), "it runs all the while")
	require.False(t, b.Reports(b.now)[0].Leaving, "there is another worker for it")
	v, _ := b.View("w1", b.now)
	require.Equal(t, 1, v.Leaving)
	require.Zero(t, v.Instances)
	b.says("w2", 0, g(1, 2), wire.StateCreating)
	b.settle()
	require.Len(t, b.placed(), 3)
	require.Equal(t, []string{"1.1 RUNNING"}, b.report(0))
	b.says("w2", 0, g(1, 2), wire.StateRunning)
	b.settle()
	require.Equal(t, []string{"0 1.1 w1 x", "0 1.2 w2", "1 1.1 w2"}, b.placed())
	require.Equal(t, []string{"1.2 RUNNING"}, b.report(0))
	b.says("w1", 0, g(1, 1), wire.StateUndeployed)
	b.settle()
	require.Equal(t, []string{"0 1.2 w2", "1 1.1 w2"}, b.placed())
	v, _ = b.View("w1", b.now)
	require.Zero(t, v.Leaving+v.Instances)
}

func TestWhatCanGoNowhereStaysOnADrainedWorker(t *testing.T) {
	b := newBed(1)
	b.want(1, 0)
	b.settle()
	b.says("w1", 0, g(1, 1), wire.StateRunning)
	b.order("w1", wire.WorkerDrained, 5)
	for range 20 {
		b.later(2*time.Second, "w1")
		b.settle()
	}
	require.Equal(t, []string{"0 1.1 w1"}, b.placed())
	require.Equal(t, []string{"1.1 RUNNING"}, b.report(0), "root must not take it away: it runs")
	for _, r := range b.Reports(b.now) {
		require.Contains(t, r.Detail, "keeps it until another can take it")
		require.True(t, r.Leaving, "another cluster may take it")
	}
	b.PutWorker("w2", "w2", nil, true)
	b.alive("w2", 1, true)
	b.info("w2")
	b.settle()
	require.Equal(t, []string{"0 1.1 w1", "0 1.2 w2"}, b.placed(), "as soon as there is another")
	require.False(t, b.Reports(b.now)[0].Leaving)
	b.order("w1", wire.WorkerOpen, 6)
	b.later(2*time.Second, "w1", "w2")
	b.says("w2", 0, g(1, 2), wire.StateRunning)
	b.settle()
	require.Contains(t, b.placed(), "0 1.2 w2")
}

func TestAOneShotEndsWhereItIs(t *testing.T) {
	b := newBed(2)
	s := spec(1)
	s.OneShot = true
	b.Apply(b.TakeDesired(&wire.ClusterDesired{Changed: []wire.ClusterInstance{{InstanceKey: key(0), Placement: 1, Spec: s}}}))
	b.settle()
	b.says("w1", 0, g(1, 1), wire.StateRunning)
	b.order("w1", wire.WorkerDrained, 5)
	b.settle()
	require.Equal(t, []string{"0 1.1 w1"}, b.placed())
	v, _ := b.View("w1", b.now)
	require.Equal(t, 1, v.Instances)
	b.says("w1", 0, g(1, 1), wire.StateCompleted)
	v, _ = b.View("w1", b.now)
	require.Zero(t, v.Instances+v.Leaving)
}

// Whatever modes come in whatever order, an instance that served is never without a copy that serves while its workers are there, and the
// last orders hold.
func TestModesNeverStopWhatServes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBed(3)
		b.want(1, 0, 1, 2)
		b.settle()
		for _, c := range b.Copies() {
			b.says(c.Worker, c.Number, c.Generation, wire.StateRunning)
		}
		modes := []wire.WorkerMode{wire.WorkerOpen, wire.WorkerCordoned, wire.WorkerDrained}
		last := map[string]wire.WorkerMode{}
		for step := range rapid.IntRange(1, 20).Draw(t, "steps") {
			w := rapid.SampledFrom([]string{"w1", "w2", "w3"}).Draw(t, "worker")
			last[w] = rapid.SampledFrom(modes).Draw(t, "mode")
			b.order(w, last[w], uint64(step+1))
			b.settle()
			for _, c := range b.Copies() { // some of the new ones come up, and what is to stop does
				switch {
				case c.Stop:
					b.says(c.Worker, c.Number, c.Generation, wire.StateUndeployed)
				case rapid.Bool().Draw(t, "runs"):
					b.says(c.Worker, c.Number, c.Generation, wire.StateRunning)
				}
			}
			b.settle()
			serving := map[int]bool{}
			for _, c := range b.Copies() {
				if !c.Stop && c.Report.State == wire.StateRunning {
					serving[c.Number] = true
				}
			}
			if len(serving) != 3 {
				t.Fatalf("only %v serve: %v", serving, b.placed())
			}
		}
		for w, mode := range last {
			if v, _ := b.View(w, b.now); v.Mode != mode {
				t.Fatalf("%s is %s, want %s", w, v.Mode, mode)
			}
		}
	})
}
