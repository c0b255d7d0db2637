// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

// TestWhoRaisesTheEpochDeposesNobody writes while the epoch is raised again and again: nobody takes the process for deposed, although the
// database is a step ahead of it each time.
func TestWhoRaisesTheEpochDeposesNobody(t *testing.T) {
	pool, err := store.Open(t.Context(), pgtest.New(t), records.Migrations(), quietLog())
	require.NoError(t, err)
	defer pool.Close()
	c := &Cluster{pool: pool}
	first, err := c.takeEpoch(t.Context(), 0)
	require.NoError(t, err)
	until := time.Now().Add(500 * time.Millisecond)
	var writers sync.WaitGroup
	written := make([]int, 4)
	for i := range written {
		writers.Go(func() {
			for time.Now().Before(until) {
				if err := c.inEpoch(t.Context(), func(pgx.Tx) error { return nil }); err != nil {
					t.Error(err)
					return
				}
				written[i]++
			}
		})
	}
	raised := 0
	for ; time.Now().Before(until); raised++ {
		epoch, err := c.takeEpoch(t.Context(), c.epoch.Load())
		require.NoError(t, err)
		require.Greater(t, epoch, first)
	}
	writers.Wait()
	require.Greater(t, raised, 3)
	for _, n := range written {
		require.Greater(t, n, 3)
	}
}
