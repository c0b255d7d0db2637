// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

func own() fstest.MapFS {
	return fstest.MapFS{"00001_t.sql": {Data: []byte("-- +goose Up\nCREATE TABLE t (n integer PRIMARY KEY);\n-- +goose Down\nDROP TABLE t;\n")}}
}

func TestOpenMigratesOnceFromManyProcesses(t *testing.T) {
	url := pgtest.New(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			pool, err := store.Open(t.Context(), url, own(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			defer pool.Close()
			_, err = pool.Exec(t.Context(), "SELECT n FROM t")
			if err != nil {
				t.Errorf("read own table: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestEpochRises(t *testing.T) {
	pool, err := store.Open(t.Context(), pgtest.New(t), nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer pool.Close()
	a, err := store.RaiseEpoch(t.Context(), pool)
	require.NoError(t, err)
	require.GreaterOrEqual(t, a, uint64(time.Now().Add(-time.Minute).UnixMilli()))
	b, err := store.RaiseEpoch(t.Context(), pool)
	require.NoError(t, err)
	require.Greater(t, b, a)
	c, err := store.RaiseEpochAbove(t.Context(), pool, b+5000)
	require.NoError(t, err)
	require.Greater(t, c, b+5000)
	_, err = store.RaiseEpochAbove(t.Context(), pool, uint64(time.Now().Add(25*time.Hour).UnixMilli()))
	require.ErrorContains(t, err, "more than a day ahead")
	got, err := store.Epoch(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, c, got)
}

func TestInTxRollsBackAndRetriesDeadlocks(t *testing.T) {
	pool, err := store.Open(t.Context(), pgtest.New(t), own(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer pool.Close()
	refused := errors.New("refused")
	err = store.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "INSERT INTO t VALUES (1)")
		require.NoError(t, err)
		return refused
	})
	require.ErrorIs(t, err, refused)
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&n))
	require.Zero(t, n)

	_, err = pool.Exec(t.Context(), "INSERT INTO t VALUES (1), (2)")
	require.NoError(t, err)
	// Two transactions that lock the same rows in opposite order: one of them is the victim, and is run again.
	var wg sync.WaitGroup
	for _, order := range [][2]int{{1, 2}, {2, 1}} {
		wg.Go(func() {
			err := store.InTx(t.Context(), pool, func(tx pgx.Tx) error {
				for _, row := range order {
					if _, err := tx.Exec(t.Context(), "SELECT FROM t WHERE n = $1 FOR UPDATE", row); err != nil {
						return err
					}
					time.Sleep(50 * time.Millisecond)
				}
				return nil
			})
			if err != nil {
				t.Errorf("transaction: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestUnavailableWhilePostgresIsAway(t *testing.T) {
	server, err := pgtest.Start("", pgtest.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Close()) }()
	pool, err := store.Open(t.Context(), server.NewDatabase(t), nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, server.Stop("immediate"))
	for range 20 { // the first uses of a broken idle connection fail in another way than later dials
		_, err = store.Epoch(context.Background(), pool)
		require.Error(t, err)
		require.True(t, store.IsUnavailable(err), "%v", err)
	}
	require.NoError(t, server.Resume())
	require.Eventually(t, func() bool {
		_, err := store.Epoch(context.Background(), pool)
		return err == nil
	}, 10*time.Second, 50*time.Millisecond)
	_, err = pool.Exec(t.Context(), "SELECT nothing")
	require.False(t, store.IsUnavailable(err))
}

func TestCodes(t *testing.T) {
	for code, want := range map[string]string{
		"53100": "unavailable", "53300": "unavailable", "25006": "unavailable", "57P01": "unavailable", "08006": "unavailable",
		"22021": "unstorable", "22003": "unstorable", "54001": "unstorable", "23505": "", "42P01": "", "57014": "timeout",
	} {
		err := fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code})
		require.Equal(t, want == "unavailable", store.IsUnavailable(err), code)
		require.Equal(t, want == "unstorable", store.IsUnstorable(err), code)
		require.Equal(t, want == "timeout", store.IsTimeout(err), code)
	}
}
