// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

func TestFirstProcessAloneRaisesTheEpoch(t *testing.T) {
	pool, err := store.Open(t.Context(), pgtest.New(t), nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer pool.Close()
	before, err := store.Epoch(t.Context(), pool)
	require.NoError(t, err)

	var mu sync.Mutex
	epochs := map[uint64]int{}
	ctx, leave := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	var entered sync.WaitGroup
	for range 5 { // at once
		entered.Add(1)
		serving.Go(func() {
			p, epoch, err := store.Enter(ctx, pool, slog.New(slog.DiscardHandler))
			mu.Lock()
			epochs[epoch]++
			mu.Unlock()
			entered.Done()
			if err != nil {
				t.Error(err)
				return
			}
			p.Keep(ctx)
		})
	}
	entered.Wait()
	require.Len(t, epochs, 1, "all serve under one epoch")
	var shared uint64
	for shared = range epochs {
		require.Greater(t, shared, before)
	}
	leave()
	serving.Wait()

	// Postgres ends the session of who was interrupted in a query in its own time.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ctx, leave := context.WithCancel(t.Context())
		p, epoch, err := store.Enter(ctx, pool, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		leave()
		p.Keep(ctx)
		if epoch > shared {
			break
		}
		require.True(t, time.Now().Before(deadline), "the next that is alone raises it again")
	}
}

func TestPresenceIsTakenAgainAfterPostgresWasAway(t *testing.T) {
	server, err := pgtest.Start("", pgtest.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Close()) }()
	pool, err := store.Open(t.Context(), server.NewDatabase(t), nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer pool.Close()
	ctx, leave := context.WithCancel(t.Context())
	p, epoch, err := store.Enter(ctx, pool, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	done := make(chan struct{})
	go func() { p.Keep(ctx); close(done) }()
	defer func() { leave(); <-done }()
	require.NoError(t, server.Stop("immediate"))
	require.NoError(t, server.Resume())
	held := func() bool {
		var n int
		err := pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'`).Scan(&n)
		return err == nil && n == 1
	}
	require.Eventually(t, held, 20*time.Second, 50*time.Millisecond)
	now, err := store.Epoch(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, epoch, now)
}
