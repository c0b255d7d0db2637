// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"encoding/json"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// What a worker makes up about numbers and times must not spoil the report to root, nor anything that is shown.
func TestNumbersAndTimesOfAWorkerAreBounded(t *testing.T) {
	b := newBed(1)
	b.want(1, 0)
	b.settle()
	for _, since := range []time.Time{
		time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 14*3600)), time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -12*3600)),
	} {
		r := wire.InstanceReport{InstanceKey: key(0), Generation: g(1, 1), State: wire.StateRunning, Restarts: math.MaxInt,
			CPUPercent: math.MaxFloat64, MemoryBytes: math.MinInt64, Since: since}
		b.SeeInstances("w1", wire.Instances{Header: b.stamp(), Instances: []wire.WorkerInstance{{InstanceReport: r}}}, b.now)
		got := b.Reports(b.now)[0].InstanceReport
		got.Since = got.Since.UTC()
		_, err := json.Marshal(got)
		require.NoError(t, err)
		require.LessOrEqual(t, got.Restarts, math.MaxInt32)
		require.GreaterOrEqual(t, got.MemoryBytes, int64(0))
		require.Equal(t, b.now.UTC(), got.Since)
	}
}

// A worker claims an instance that another has just been given and has not started yet.
func TestNoWorkerTakesOverWhatAnotherIsStarting(t *testing.T) {
	b := newBed(2)
	b.want(1, 0)
	b.settle()
	ch, held := b.Adopt("w2", b.unclaimed("w2", 0, g(1, 9)).Unclaimed)
	require.True(t, ch.Empty())
	require.Len(t, held, 1)
	b.says("w1", 0, g(1, 1), wire.StateRunning)
	b.settle()
	require.Empty(t, b.DesiredOf("w1").Tombstones)
}

// A worker has an instance of its own invention adopted, of a service that root has described.
func TestAWorkersWordForAServiceCountsOnlyWithoutRoots(t *testing.T) {
	b := newBed(2)
	b.want(1, 0)
	b.settle()
	liar := spec(1)
	liar.Addresses = []wire.ServiceAddress{{Policy: wire.PolicyRoundRobin, Address: netip.MustParseAddr("10.30.6.6")}}
	wi := wire.WorkerInstance{InstanceReport: wire.InstanceReport{InstanceKey: key(9), Generation: g(4_000_000_000, 1), State: wire.StateRunning},
		Unclaimed: true, Spec: &liar}
	ch, _ := b.Adopt("w2", []wire.WorkerInstance{wi})
	b.Apply(ch)
	_, s, wanted, ok := b.CopiesOf(service)
	require.True(t, ok)
	require.True(t, wanted)
	require.Empty(t, s.Addresses)
	b.remove(0, 1)
	_, s, wanted, _ = b.CopiesOf(service)
	require.False(t, wanted)
	require.Len(t, s.Addresses, 1, "what is left of it is known from the worker alone")
}

func TestAWorkerHasOnlySoManyAdopted(t *testing.T) {
	b := newBed(1)
	s := spec(1)
	var list []wire.WorkerInstance
	for n := range maxCopies + 10 {
		list = append(list, wire.WorkerInstance{InstanceReport: wire.InstanceReport{InstanceKey: key(n), Generation: g(1, 1), State: wire.StateRunning},
			Unclaimed: true, Spec: &s})
	}
	ch, held := b.Adopt("w1", list)
	require.Len(t, ch.Copies, maxCopies)
	require.Len(t, held, 10)
	b.Apply(ch)
	ch, _ = b.Adopt("w1", list[maxCopies:])
	require.Empty(t, ch.Copies)
}
