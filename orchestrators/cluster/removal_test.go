// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
)

// One of two instances is removed: callers hear that it takes no new flows before its worker hears that it is to stop. The last one, and one
// that nobody calls, stop at once.
func TestCallersHearOfARemovalFirst(t *testing.T) {
	b := newBed(t)
	b.ready()
	w1, w2 := b.worker("one"), b.worker("two")
	b.root.want(1, 0, 1, 2)
	eventually(t, "running", b.root.sees([]int{0, 1, 2}, wire.StateRunning))
	stopped := func() int {
		n := 0
		for _, w := range []*scriptedWorker{w1, w2} {
			w.mu.Lock()
			n += w.stopped
			w.mu.Unlock()
		}
		return n
	}
	begin := time.Now()
	b.root.remove(2)
	eventually(t, "removed, since nobody calls it", b.root.sees([]int{2}, wire.StateUndeployed))
	quick := time.Since(begin)

	w1.want(serviceIP)
	eventually(t, "routes", w1.hasRoutes(0, 1))
	begin = time.Now()
	b.root.remove(0)
	eventually(t, "no new flows for it", func() bool {
		w1.mu.Lock()
		defer w1.mu.Unlock()
		for _, r := range w1.routes {
			for _, i := range r.Instances {
				if i.Number == 0 && i.State == wire.StateCreated {
					return true
				}
			}
		}
		return false
	})
	require.Equal(t, 1, stopped(), "it goes on")
	eventually(t, "removed", b.root.sees([]int{0}, wire.StateUndeployed))
	took := time.Since(begin)
	require.GreaterOrEqual(t, took, ledger.DefaultDrain)
	require.Equal(t, 2, stopped())
	b.root.remove(1)
	begin = time.Now()
	eventually(t, "removed, since it is the last", b.root.sees([]int{1}, wire.StateUndeployed))
	t.Logf("nobody calls: %s; others serve: %s; the last: %s", quick, took, time.Since(begin))
	require.Less(t, min(quick, time.Since(begin)), ledger.DefaultDrain)
}
