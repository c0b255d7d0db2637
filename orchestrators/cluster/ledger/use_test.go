// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func TestLoadIsTheInstancesOrItsWorkers(t *testing.T) {
	b := newBed(1)
	b.Apply(b.TakeDesired(&wire.ClusterDesired{Changed: []wire.ClusterInstance{
		{InstanceKey: key(0), Placement: 1, Spec: spec(2)}, {InstanceKey: key(1), Placement: 1, Spec: spec(0)},
	}}))
	b.settle()
	g := wire.Generation{Placement: 1, Move: 1}
	uses := func(n int, percent float64, state wire.State) {
		b.SeeInstances("w1", wire.Instances{Header: b.stamp(), Instances: []wire.WorkerInstance{{InstanceReport: wire.InstanceReport{
			InstanceKey: key(n), Generation: g, State: state, CPUPercent: percent}}}}, b.now)
	}
	loads := func(want ...float64) {
		t.Helper()
		all := b.Loads(b.now)
		require.Len(t, all, len(want))
		for n, load := range want {
			require.InDelta(t, load, all[CopyID{key(n), g}], 1e-9)
			one, ok := b.LoadOf(CopyID{key(n), g}, b.now)
			require.True(t, ok)
			require.InDelta(t, load, one, 1e-9)
		}
	}
	busy := func(percent float64) {
		b.SeeInformation("w1", wire.Information{Header: b.stamp(), CPUPercent: percent, Overlay: true}, b.now)
	}
	uses(0, 150, wire.StateRunning)
	uses(1, 20, wire.StateRunning)
	loads(0.75, 0.2)
	busy(50)
	loads(0.75, 0.5)
	uses(0, 100, wire.StateFailed) // what was used before it failed says nothing of now
	loads(0.5, 0.5)
	uses(1, 9999, wire.StateRunning)
	busy(1e300)
	loads(1, 1)

	b.alive("w1", 1, false)
	b.now = b.now.Add(DefaultLostAfter)
	loads(1, 1)
	b.now = b.now.Add(time.Second)
	require.Empty(t, b.Loads(b.now), "the worker is lost")
	_, ok := b.LoadOf(CopyID{key(7), g}, b.now)
	require.False(t, ok)
}

func TestLoadIsUnknownUntilTheWorkerHasSpoken(t *testing.T) {
	b := newBed(1)
	b.want(1, 0)
	b.settle()
	require.Len(t, b.Loads(b.now), 1)
	b.PutWorker("w1", "w1", nil, false)
	b.workers["w1"].Info = wire.Information{}
	require.Empty(t, b.Loads(b.now))
}

func TestPlacesThatThereAreNoneOfAreNotTaken(t *testing.T) {
	b := newBed(1)
	for _, at := range []wire.Location{{Latitude: 91}, {Longitude: -181}, {Latitude: math.NaN()}} {
		b.SeeInformation("w1", wire.Information{Header: b.stamp(), Location: &at}, b.now)
		w, _ := b.Worker("w1")
		require.Nil(t, w.Info.Location)
	}
	at := wire.Location{Latitude: -90, Longitude: 180}
	b.SeeInformation("w1", wire.Information{Header: b.stamp(), Location: &at}, b.now)
	w, _ := b.Worker("w1")
	require.Equal(t, &at, w.Info.Location)
}
