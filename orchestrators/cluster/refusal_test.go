// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// A cluster orchestrator that was restarted knows on which workers an instance has failed of late, and does not go round once more.
func TestRestartRemembersWhoHasFailed(t *testing.T) {
	b := newBed(t)
	b.ready()
	workers := []*scriptedWorker{b.worker("one"), b.worker("two")}
	for _, w := range workers {
		w.mu.Lock()
		w.fails = true
		w.mu.Unlock()
	}
	begun := func(n int) (counts []int) {
		for _, w := range workers {
			w.mu.Lock()
			counts = append(counts, w.begun[key(n)])
			w.mu.Unlock()
		}
		return counts
	}
	tried := func(n int) func() bool {
		return func() bool { c := begun(n); return c[0] > 0 && c[1] > 0 && b.root.sees([]int{n}, wire.StateFailed)() }
	}
	b.root.want(1, 0)
	eventually(t, "both workers have failed with it", tried(0))
	b.halt()
	b.start()
	// Another one goes through both: by then everything that the first one could do was done.
	b.root.want(1, 1)
	eventually(t, "both workers have failed with another one", tried(1))
	require.Equal(t, []int{1, 1}, begun(0))
	require.Equal(t, []int{1, 1}, begun(1))
}
