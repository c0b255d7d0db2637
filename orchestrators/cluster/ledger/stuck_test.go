// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/lifecycle"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func TestWorkerThatDoesNotBeginIsNotWaitedFor(t *testing.T) {
	b := newBed(2)
	b.want(1, 0)
	b.settle()
	require.Equal(t, []string{"0 1.1 w1"}, b.placed())
	b.later(lifecycle.TakeWithin-time.Second, "w1", "w2")
	b.settle()
	require.Equal(t, []string{"0 1.1 w1"}, b.placed())
	b.later(2*time.Second, "w1", "w2")
	b.settle()
	b.settle()
	require.Equal(t, []string{"0 1.1 w1 x", "0 1.2 w2"}, b.placed())
	b.says("w2", 0, g(1, 2), wire.StateRunning)
	require.Equal(t, []string{"1.2 RUNNING"}, b.report(0))

	// Where there is nobody else, the cluster says why, and the worker may come round after all.
	b = newBed(1)
	b.want(1, 0)
	b.settle()
	b.later(lifecycle.TakeWithin+time.Second, "w1")
	b.settle()
	require.Equal(t, []string{"1.1 NO_WORKER_CAPACITY"}, b.report(0))
	require.Contains(t, b.Reports(b.now)[0].Detail, "w1: has not begun with it within")
	b.says("w1", 0, g(1, 1), wire.StateCreating)
	b.settle()
	require.Equal(t, []string{"1.1 CREATING"}, b.report(0))
}

func TestTimeOnlyCountsWhileTheWorkerIsThere(t *testing.T) {
	b := newBed(2)
	b.want(1, 0)
	b.settle()
	b.later(lifecycle.TakeWithin-time.Second, "w1", "w2")
	b.later(20*time.Second, "w2") // w1 is silent, for less than lost_after
	b.settle()
	b.later(2*time.Second, "w1", "w2")
	b.settle()
	require.Equal(t, []string{"0 1.1 w1"}, b.placed(), "it has just come back")
	b.later(lifecycle.TakeWithin+time.Second, "w1", "w2")
	b.settle()
	b.settle()
	require.Equal(t, []string{"0 1.1 w1 x", "0 1.2 w2"}, b.placed())
}

func TestCreatingWithoutEndIsGivenUp(t *testing.T) {
	b := newBed(2)
	b.want(1, 0)
	b.settle()
	b.says("w1", 0, g(1, 1), wire.StateCreating)
	b.later(lifecycle.CreateWithin-time.Minute, "w1", "w2")
	b.says("w1", 0, g(1, 1), wire.StateCreating)
	b.settle()
	require.Equal(t, []string{"0 1.1 w1"}, b.placed())
	b.later(2*time.Minute, "w1", "w2")
	b.settle()
	b.settle()
	require.Equal(t, []string{"0 1.1 w1 x", "0 1.2 w2"}, b.placed())
}

// fails has a worker say that an instance has failed there too often.
func (b *bed) fails(w string, g wire.Generation) {
	b.SeeInstances(w, wire.Instances{Header: b.stamp(), Instances: []wire.WorkerInstance{{Elsewhere: true,
		InstanceReport: wire.InstanceReport{InstanceKey: key(0), Generation: g, State: wire.StateFailed, Detail: "ended with code 1, again"}}}}, b.now)
}

func TestWhatFailsIsTriedOnceAnHourAWorker(t *testing.T) {
	b := newBed(2)
	b.want(1, 0)
	b.settle()
	b.says("w1", 0, g(1, 1), wire.StateCreating)
	b.fails("w1", g(1, 1))
	b.settle()
	b.settle()
	require.Equal(t, []string{"0 1.1 w1 x", "0 1.2 w2"}, b.placed())
	b.says("w1", 0, g(1, 1), wire.StateUndeployed)
	b.says("w2", 0, g(1, 2), wire.StateRunning)
	b.fails("w2", g(1, 2))
	b.settle()
	require.Equal(t, []string{"0 1.2 w2"}, b.placed(), "both have failed with it: the last tries on")
	require.Equal(t, []string{"1.2 FAILED"}, b.report(0), "not given back to root")
	require.Equal(t, "ended with code 1, again", b.Reports(b.now)[0].Detail)
	b.later(failureHolds-time.Minute, "w1", "w2")
	b.settle()
	require.Equal(t, []string{"0 1.2 w2"}, b.placed())
	b.PutWorker("w3", "w3", nil, true) // a new one has not
	b.alive("w3", 1, true)
	b.info("w3")
	b.settle()
	b.settle()
	require.Equal(t, []string{"0 1.2 w2 x", "0 1.3 w3"}, b.placed())
}

func TestWhatIsOverStaysWhereItIs(t *testing.T) {
	for _, over := range []wire.State{wire.StateCompleted, wire.StateDead} {
		b := newBed(2)
		b.want(1, 0)
		b.settle()
		b.says("w1", 0, g(1, 1), wire.StateRunning)
		b.says("w1", 0, g(1, 1), over)
		b.settle()
		c, _ := b.pool(b.now).Candidate("w1")
		require.EqualValues(t, 4, c.Free.VCPUs, "it holds nothing")
		require.Equal(t, 1, b.says("w1", 0, g(1, 1), wire.StateRunning).Refused, "it cannot run again")
		require.Equal(t, []string{"1.1 " + string(over)}, b.report(0))
		b.later(2*DefaultLostAfter, "w2")
		b.settle()
		require.Equal(t, []string{"0 1.1 w1"}, b.placed(), "nothing of it is lost with its worker")
		b.remove(0, 1)
		b.settle()
		require.Equal(t, []string{"0 1.1 w1 x"}, b.placed())
	}
}
