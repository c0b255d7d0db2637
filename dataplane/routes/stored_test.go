// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// TestStoredRoutesTakeNothingAway: NetManager may die before it has stored the newest routes. Who began to talk by those goes on until the
// cluster says that an instance is gone, or has had the time to.
func TestStoredRoutesTakeNothingAway(t *testing.T) {
	for _, heard := range []bool{true, false} {
		w := newWorld(t)
		w.attach(0, 1, 40, 9)
		all := three(w, 2)
		fewer := three(w, 1)
		fewer.Instances = fewer.Instances[:1]
		require.NoError(t, w.Apply(fewer))
		saved := snapshotOf(w.All())
		require.NoError(t, w.Apply(all))
		places := len(w.Table.kernel.backends)
		w.restart()
		var gone []bpf.Owner
		w.cfg.Gone = func(o []bpf.Owner) { gone = append(gone, o...) }
		require.NoError(t, w.Restore(saved))
		require.NoError(t, w.Expire(w.clock))
		require.Len(t, w.Table.kernel.backends, places)
		require.Empty(t, gone, "of instances that newer routes had")
		if heard {
			require.NoError(t, w.Apply(all))
			require.Empty(t, gone)
			newest := three(w, 3)
			newest.Instances = newest.Instances[:1]
			require.NoError(t, w.Apply(newest))
		} else {
			w.clock = w.clock.Add(restoredFor)
			require.NoError(t, w.Expire(w.clock))
		}
		require.Len(t, gone, places-1)
		require.Len(t, w.Table.kernel.backends, 1)
	}
}
