// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

// reports has a worker say something else of itself, at once.
func (w *scriptedWorker) reports(cpu float64, at *wire.Location) {
	w.mu.Lock()
	w.cpu, w.at = cpu, at
	w.mu.Unlock()
	w.info(w.t.Context(), w.engine)
}

// route is the one of an instance, as w was told last.
func (w *scriptedWorker) route(number int) (r wire.RouteInstance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.routes {
		if i := slices.IndexFunc(m.Instances, func(r wire.RouteInstance) bool { return r.Number == number }); i >= 0 {
			r = m.Instances[i]
		}
	}
	return r
}

func (w *scriptedWorker) place() *wire.Location {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.node.Location
}

// TestRoutesSayHowBusyAndWhere: loads come from what workers report, places from the cluster's own unless a worker has one. While nothing
// changes, nothing is sent, however often workers report.
func TestRoutesSayHowBusyAndWhere(t *testing.T) {
	const every = 100 * time.Millisecond
	b := newBedWeighing(t, pgtest.New(t), every)
	b.ready()
	w1, w2 := b.worker("one"), b.worker("two")
	w1.reports(3, nil)
	w2.reports(2, &wire.Location{Latitude: 52.5, Longitude: 13.4})
	b.root.want(1, 0, 1)
	eventually(t, "running", b.root.sees([]int{0, 1}, wire.StateRunning))
	w1.want(serviceIP)
	eventually(t, "routes", w1.hasRoutes(0, 1))
	own, other := 0, 1
	if w1.route(0).Peer != w1.id {
		own, other = 1, 0
	}
	require.Equal(t, []string{w1.id, w2.id}, []string{w1.route(own).Peer, w1.route(other).Peer})

	here, there := &wire.Location{Latitude: 48.1, Longitude: 11.5}, &wire.Location{Latitude: 52.5, Longitude: 13.4}
	eventually(t, "places of both, as the cluster and as the worker says", func() bool {
		return samePlace(w1.route(own).Location, here) && samePlace(w1.route(other).Location, there)
	})
	eventually(t, "each knows its own", func() bool { return samePlace(w1.place(), here) && samePlace(w2.place(), there) })
	says := func(number int, load float64) func() bool {
		return func() bool { l := w1.route(number).Load; return l != nil && *l == load }
	}
	eventually(t, "both idle", func() bool { return says(own, 0)() && says(other, 0)() })

	w1.mu.Lock()
	w1.log = nil
	w1.mu.Unlock()
	for i := range 2 * int(time.Second/every) { // a little goes on all the time
		w1.reports(float64(3+i%4), nil)
		w2.reports(float64(6-i%4), there)
		time.Sleep(every)
	}
	w1.mu.Lock()
	require.Empty(t, w1.log, "an idle system sends no routes")
	w1.mu.Unlock()

	w2.reports(100, there)
	eventually(t, "the other is busy", says(other, 1))
	require.True(t, says(own, 0)())
	w1.mu.Lock()
	require.LessOrEqual(t, len(w1.log), 8, "steps, not every report: %v", w1.log)
	w1.mu.Unlock()
	w2.reports(0, nil)
	eventually(t, "and is not any more", says(other, 0))
	eventually(t, "it has no place of its own any more", func() bool {
		return samePlace(w1.route(other).Location, here) && samePlace(w2.place(), here)
	})
	var workers []WorkerView
	b.get(PathWorkers, &workers)
	require.Equal(t, here, workers[0].Location)
}

func samePlace(a, b *wire.Location) bool { return a == b || a != nil && b != nil && *a == *b }
