// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// judge has the worker say of all that it runs whether it is ready.
func (w *scriptedWorker) judge(ready bool) {
	w.mu.Lock()
	w.ready = &ready
	w.mu.Unlock()
	w.tell(w.t.Context(), w.engine, false)
}

// told says in which state routes show instance 0.
func (w *scriptedWorker) told(state wire.State) func() bool {
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		m := w.routes[key(0).ServiceID]
		return len(m.Instances) == 1 && m.Instances[0].State == state
	}
}

func TestWhatIsNotReadyGetsNoNewFlows(t *testing.T) {
	b := newBed(t)
	b.ready()
	w := b.worker("one")
	w.judge(false)
	rootSees := func(ready bool) func() bool {
		return func() bool {
			b.root.mu.Lock()
			defer b.root.mu.Unlock()
			r := b.root.reports[key(0)]
			return r.State == wire.StateRunning && r.Ready != nil && *r.Ready == ready
		}
	}
	b.root.want(1, 0)
	eventually(t, "root hears that it is not ready", rootSees(false))
	w.want(serviceIP)
	eventually(t, "a route that no new flow takes", w.told(wire.StateCreated))
	w.judge(true)
	eventually(t, "a route", w.told(wire.StateRunning))
	eventually(t, "root hears that it is ready", rootSees(true))
	w.judge(false)
	eventually(t, "none again", w.told(wire.StateCreated))

	// A restart does not take it for ready before its worker has spoken.
	eventually(t, "stored", func() bool {
		var stored bool
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT ready IS NOT NULL AND NOT ready FROM placement`).Scan(&stored))
		return stored
	})
	w.engine.Close()
	b.halt()
	w.mu.Lock()
	w.routes = map[string]wire.NetRoutes{}
	w.mu.Unlock()
	b.start()
	eventually(t, "routes after the restart", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.routes) > 0 })
	require.True(t, w.told(wire.StateCreated)())
}
