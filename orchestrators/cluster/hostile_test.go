// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// TestAcknowledgedRemovalIsForgottenAlthoughPostgresFailed has the database fail just when root has taken an UNDEPLOYED in.
func TestAcknowledgedRemovalIsForgottenAlthoughPostgresFailed(t *testing.T) {
	b := newBed(t)
	b.ready()
	b.worker("one")
	b.root.want(1, 0)
	eventually(t, "running", b.root.sees([]int{0}, wire.StateRunning))
	var broken atomic.Bool
	b.root.mu.Lock()
	b.root.onReport = func(m wire.ClusterReport) {
		undeployed := slices.ContainsFunc(m.Instances, func(i wire.InstanceReport) bool { return i.State == wire.StateUndeployed })
		if undeployed && broken.CompareAndSwap(false, true) {
			_, err := b.pool.Exec(t.Context(), `ALTER TABLE removal RENAME TO away`)
			require.NoError(t, err)
		}
	}
	b.root.mu.Unlock()
	b.root.remove(0)
	eventually(t, "undeployed at root", b.root.sees([]int{0}, wire.StateUndeployed))
	time.Sleep(300 * time.Millisecond)
	_, err := b.pool.Exec(t.Context(), `ALTER TABLE away RENAME TO removal`)
	require.NoError(t, err)
	eventually(t, "nothing is left of it", func() bool {
		var n int
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM removal`).Scan(&n))
		return n == 0
	})
}

// TestDesiredStateOfALowerEpochIsIgnored has root answer from a database that was restored under it.
func TestDesiredStateOfALowerEpochIsIgnored(t *testing.T) {
	b := newBed(t)
	b.ready()
	w := b.worker("one")
	b.root.want(1, 0)
	eventually(t, "running", b.root.sees([]int{0}, wire.StateRunning))
	var told atomic.Uint64
	b.root.mu.Lock()
	b.root.onReport = func(m wire.ClusterReport) { told.Store(m.Applied.Epoch) }
	b.root.epoch, b.root.rev = 50, 1
	b.root.instances = map[wire.InstanceKey]wire.ClusterInstance{key(7): {InstanceKey: key(7), Placement: 1, Spec: spec(7)}}
	b.root.removed[key(0)] = wire.Tombstone{InstanceKey: key(0), Generation: wire.Generation{Placement: 1, Move: math.MaxUint32}}
	asked := len(b.root.asked)
	b.root.mu.Unlock()
	eventually(t, "it has answered", func() bool {
		b.root.mu.Lock()
		defer b.root.mu.Unlock()
		return len(b.root.asked) > asked+1
	})
	eventually(t, "root hears what is applied", func() bool { return told.Load() == 100 })
	require.Len(t, w.runs(), 1)
	require.Zero(t, w.stopped)
	b.root.change(func() { b.root.epoch = 101; delete(b.root.removed, key(0)) })
	eventually(t, "a higher epoch counts", b.root.sees([]int{7}, wire.StateRunning))
}
