// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
)

// TestStandbyTakesOver has two processes of one cluster with one broker: the second waits while the first is there, and goes on where it ends.
func TestStandbyTakesOver(t *testing.T) {
	b, _ := newBedWithMosquitto(t, 0)
	w1, w2 := b.worker("one"), b.worker("two")
	b.root.want(1, 0, 1)
	eventually(t, "running", b.root.sees([]int{0, 1}, wire.StateRunning))
	w1.want(serviceIP)
	eventually(t, "routes", w1.hasRoutes(0, 1))

	tokenFile := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(tokenFile, nil, 0o600))
	api := relisten(t, "")
	address := api.Addr().String()
	require.NoError(t, api.Close())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Options{Database: b.database, Brokers: b.brokers, RootURLs: []string{"https://" + b.root.addr}, JoinTokenFile: tokenFile, Name: "c1",
			Location: "48.1,11.5", Listen: address, HelloListen: "127.0.0.1:0", Log: quietLog(), weighEvery: time.Hour})
	}()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	status := func(path string) int {
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	eventually(t, "the second answers", func() bool { return status("/healthz") == http.StatusOK })
	require.Equal(t, http.StatusServiceUnavailable, status("/readyz"))
	epoch := b.epoch()
	b.root.want(1, 2)
	eventually(t, "the first goes on", b.root.sees([]int{0, 1, 2}, wire.StateRunning))
	require.Equal(t, epoch, b.epoch(), "nobody has taken over")

	b.halt()
	begin := time.Now()
	b.root.want(1, 3)
	eventually(t, "the second has taken over", b.root.sees([]int{0, 1, 2, 3}, wire.StateRunning))
	t.Logf("an instance that was wanted as the first went runs after %s", time.Since(begin).Round(time.Millisecond))
	eventually(t, "ready", func() bool { return status("/readyz") == http.StatusOK })
	eventually(t, "routes", w1.hasRoutes(0, 1, 2, 3))
	require.Greater(t, b.epoch(), epoch)
	require.Equal(t, 4, w1.starts+w2.starts)
	require.Zero(t, w1.stopped+w2.stopped)
}

// activeLock is the key of package store's lock of the active process.
const activeLock = 0x6f616b03

// TestDeposedProcessEnds: who hung for so long that another took over ends when it goes on, without having written anything.
func TestDeposedProcessEnds(t *testing.T) {
	b, _ := newBedWithMosquitto(t, 0)
	b.worker("one")
	b.root.want(1, 0)
	eventually(t, "running", b.root.sees([]int{0}, wire.StateRunning))
	conn, err := b.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	// What another process does to one that is silent: it ends its session and has the lock before that one is back.
	require.Eventually(t, func() bool {
		var won bool
		_, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint = $1 AND pid <> pg_backend_pid()`, activeLock)
		require.NoError(t, err)
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT pg_try_advisory_lock($1)`, activeLock).Scan(&won))
		return won
	}, 10*time.Second, time.Millisecond)
	select {
	case err := <-b.done:
		require.ErrorIs(t, err, records.ErrTakenOver)
		b.done <- nil
	case <-time.After(30 * time.Second):
		t.Fatal("it goes on")
	}
}
