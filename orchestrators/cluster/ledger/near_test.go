// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const database = "dbdbdbdbdbdbdbdbdbdbdbdb"

// near has root want one instance of another service on worker w1, and n instances that have to be within so many ms of it.
func (b *bed) near(n int, threshold, convergence float64) {
	one := spec(1)
	one.Node = []string{"w1"}
	d := &wire.ClusterDesired{Changed: []wire.ClusterInstance{{InstanceKey: wire.InstanceKey{ServiceID: database}, Placement: 1, Spec: one}}}
	for i := range n {
		s := spec(1)
		s.Near = []wire.Proximity{{Kind: wire.ProximityLatency, Threshold: threshold, ConvergenceTime: convergence, Service: database, Name: "db"}}
		d.Changed = append(d.Changed, wire.ClusterInstance{InstanceKey: key(i), Placement: 1, Spec: s})
	}
	b.Apply(b.TakeDesired(d))
}

// trips has every worker tell its round trips to all others, where each worker is at so many ms on a line.
func (b *bed) trips(at ...float64) {
	for i := range at {
		said := map[string]float64{}
		for j := range at {
			if i != j {
				said[fmt.Sprint("w", j+1)] = max(at[i]-at[j], at[j]-at[i], 0.1)
			}
		}
		b.SeeRoundTrips(fmt.Sprint("w", i+1), said)
	}
}

// Instances go to the workers from which the measured way to the other service is short enough, also if that is placed in the same pass.
func TestMeasuredRoundTripsDecide(t *testing.T) {
	b := newBed(4)
	b.trips(0, 40, 5, 8)
	b.near(8, 10, 0)
	b.settle()
	count := map[string]int{}
	for _, c := range b.Copies() {
		if c.ServiceID == service {
			count[c.Worker]++
		}
	}
	require.Equal(t, map[string]int{"w1": 3, "w3": 4, "w4": 1}, count, "w1 has the other service too; the nearest first, within a quarter of what is allowed")
	b.near(12, 10, 0)
	b.settle()
	r := b.Reports(b.now)
	last := r[len(r)-2] // the other service comes after it
	require.Equal(t, wire.StateNoWorkerCapacity, last.State)
	require.Contains(t, last.Detail, "w2: is 40.0 ms from db (measured), the service allows 10.0")
	require.Equal(t, wire.TierCluster, last.Scheduling.Tier)
	require.Equal(t, 4, last.Scheduling.Candidates)
}

// What was measured to others foretells the way to one that was never measured.
func TestCoordinatesStandInForWhatWasNotMeasured(t *testing.T) {
	b := newBed(12)
	at := func(n int) float64 { return float64(n%3) * 20 }
	for range 60 {
		for i := range 12 {
			said := map[string]float64{}
			for _, j := range []int{i + 1, i + 2, i + 4, i + 7} {
				if j %= 12; j != 0 && i != 0 || i > 4 && j == 0 || i == 0 && j > 4 {
					said[fmt.Sprint("w", j+1)] = max(at(i)-at(j), at(j)-at(i)) + 1
				}
			}
			b.SeeRoundTrips(fmt.Sprint("w", i+1), said)
		}
		b.Relax()
	}
	b.near(1, 12, 0)
	b.settle()
	c := b.current(key(0))
	require.NotNil(t, c)
	var n int
	_, err := fmt.Sscanf(c.Worker, "w%d", &n)
	require.NoError(t, err)
	require.Zero(t, (n-1)%3, "it is in the town of w1: %s", c.Worker)
}

// An instance that has been too far away for its convergence time goes to a worker that is near enough, and runs on until it runs there.
func TestWhatHasBeenTooFarForTooLongMoves(t *testing.T) {
	b := newBed(3)
	all := []string{"w1", "w2", "w3"}
	b.trips(0, 3, 40)
	b.near(1, 1, 60)
	b.settle()
	require.Equal(t, "w1", b.current(key(0)).Worker)
	b.says("w1", 0, g(1, 1), wire.StateRunning)
	move := func(to string) { // the other service is now elsewhere
		one := spec(1)
		one.Node = []string{to}
		b.Apply(b.TakeDesired(&wire.ClusterDesired{Changed: []wire.ClusterInstance{{InstanceKey: wire.InstanceKey{ServiceID: database}, Placement: 2, Spec: one}},
			Removed: []wire.Tombstone{{InstanceKey: wire.InstanceKey{ServiceID: database}, Generation: wire.Generation{Placement: 1, Move: ^uint32(0)}}}}))
		b.settle()
	}
	move("w3")
	for range 10 { // from the first look on
		b.later(6*time.Second, all...)
		b.settle()
		require.Len(t, b.copies[key(0)], 1, "it has been too far away for a short time only")
	}
	b.later(6*time.Second, all...)
	b.settle()
	require.Equal(t, "w3", b.current(key(0)).Worker)
	require.Len(t, b.copies[key(0)], 2)
	require.False(t, b.copies[key(0)][0].Stop, "the older one goes on")
	require.Contains(t, b.instances[key(0)].scheduling.Notes[0], "moved from w1, which was too far away for")
	b.says("w3", 0, g(1, 2), wire.StateRunning)
	b.settle()
	require.True(t, b.copies[key(0)][0].Stop, "until the newer one runs")
}

// A burst is placed in one pass, evenly, without overbooking; what is beyond the capacity waits, is told why, and none is lost.
func TestABurstIsPlacedInOnePass(t *testing.T) {
	const workers, instances = 100, 1000
	b := newBed(workers) // of 4 processors each
	numbers := make([]int, instances)
	for i := range numbers {
		numbers[i] = i
	}
	b.want(1, numbers...)
	begin := time.Now()
	b.settle()
	t.Logf("%d instances on %d workers in %s", instances, workers, time.Since(begin))
	count := map[string]int{}
	for _, c := range b.Copies() {
		count[c.Worker]++
	}
	require.Len(t, count, workers)
	for w, n := range count {
		require.Equal(t, 4, n, w)
	}
	waiting := 0
	for _, r := range b.Reports(b.now) {
		if r.State == wire.StateNoWorkerCapacity {
			waiting++
			require.Equal(t, []wire.RefusalCount{{Reason: "vcpus", Kind: wire.RefusalFull, Count: workers}}, r.Scheduling.Refusals)
		}
	}
	require.Equal(t, instances-4*workers, waiting)
	gains := b.Aggregate(b.now).Gains
	require.Equal(t, gains, b.Aggregate(b.now).Gains, "nothing has appeared")
	for i := range 150 { // capacity appears: nobody asks again
		w := fmt.Sprint("w", workers+1+i)
		b.PutWorker(w, w, nil, true)
		b.alive(w, 1, true)
		b.info(w)
	}
	require.NotEqual(t, gains, b.Aggregate(b.now).Gains)
	b.settle()
	require.Len(t, b.Copies(), instances)
}
