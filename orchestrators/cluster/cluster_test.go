// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

func TestLifeOfADeployment(t *testing.T) {
	b := newBed(t)
	b.ready()
	w1, w2 := b.worker("one"), b.worker("two")
	eventually(t, "aggregate at root", func() bool {
		b.root.mu.Lock()
		defer b.root.mu.Unlock()
		return len(b.root.aggregate.Groups) == 1 && b.root.aggregate.Groups[0].Workers == 2 && b.root.free == 14
	})

	b.root.want(1, 0, 1, 2)
	eventually(t, "running at root", b.root.sees([]int{0, 1, 2}, wire.StateRunning))
	require.Equal(t, 3, len(w1.runs())+len(w2.runs()))
	require.NotEmpty(t, w1.runs())
	require.NotEmpty(t, w2.runs())

	w1.want(serviceIP, netip.MustParseAddr("10.30.200.1"))
	eventually(t, "routes", w1.hasRoutes(0, 1, 2))
	eventually(t, "answers", func() bool {
		w1.mu.Lock()
		defer w1.mu.Unlock()
		return w1.resolved[serviceIP] == wire.ResolvedService && w1.resolved[netip.MustParseAddr("10.30.200.1")] == wire.ResolvedNone
	})
	eventually(t, "peers on both sides", func() bool {
		w1.mu.Lock()
		defer w1.mu.Unlock()
		w2.mu.Lock()
		defer w2.mu.Unlock()
		return len(w1.peers.Peers) == 1 && w1.peers.Peers[0].WorkerID == w2.id && len(w2.peers.Peers) == 1 && w2.peers.Peers[0].WorkerID == w1.id &&
			len(w2.peers.Peers[0].Sources) == len(w1.running)
	})

	b.root.remove(1)
	eventually(t, "undeployed at root", b.root.sees([]int{1}, wire.StateUndeployed))
	eventually(t, "route gone", w1.hasRoutes(0, 2))
	require.Equal(t, 2, len(w1.runs())+len(w2.runs()))
	eventually(t, "nothing is left of it", func() bool {
		var n int
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM removal) + (SELECT count(*) FROM placement WHERE stop)`).Scan(&n))
		return n == 0
	})

	var workers []WorkerView
	require.Equal(t, http.StatusOK, b.get(PathWorkers, &workers))
	require.Len(t, workers, 2)
	require.Equal(t, "ready", workers[0].Status)
	var instances []InstanceView
	require.Equal(t, http.StatusOK, b.get(PathInstances, &instances))
	require.Len(t, instances, 2)
	var status StatusView
	b.get(PathStatus, &status)
	require.Equal(t, StatusView{Name: "c1", ID: clusterID, Connected: true}, status)
}

func TestAnswerToAMissIsFastAndInOrder(t *testing.T) {
	b := newBed(t)
	b.ready()
	w1, w2 := b.worker("one"), b.worker("two")
	b.root.want(1, 0, 1)
	eventually(t, "running", b.root.sees([]int{0, 1}, wire.StateRunning))
	time.Sleep(200 * time.Millisecond) // until no update is pending
	w1.mu.Lock()
	w1.log = nil
	w1.mu.Unlock()
	begin := time.Now()
	w1.want(serviceIP)
	eventually(t, "answer", func() bool {
		w1.mu.Lock()
		defer w1.mu.Unlock()
		return w1.resolved[serviceIP] != ""
	})
	require.Less(t, time.Since(begin), 500*time.Millisecond)
	w1.mu.Lock()
	require.Equal(t, []string{"peers", "routes", "resolved"}, w1.log)
	w1.mu.Unlock()
	eventually(t, "the other side", func() bool {
		w2.mu.Lock()
		defer w2.mu.Unlock()
		return len(w2.peers.Peers) == 1
	})
}

func TestRestartLosesAndStopsNothing(t *testing.T) {
	b := newBed(t)
	b.ready()
	w1, w2 := b.worker("one"), b.worker("two")
	b.root.want(1, 0, 1, 2)
	eventually(t, "running", b.root.sees([]int{0, 1, 2}, wire.StateRunning))
	w1.want(serviceIP)
	eventually(t, "routes", w1.hasRoutes(0, 1, 2))
	b.halt()
	b.root.remove(0) // while the cluster is away
	b.start()
	eventually(t, "removed", b.root.sees([]int{0}, wire.StateUndeployed))
	eventually(t, "routes after the restart", w1.hasRoutes(1, 2))
	b.root.want(1, 3)
	eventually(t, "goes on", b.root.sees([]int{1, 2, 3}, wire.StateRunning))
	require.Equal(t, 1, w1.stopped+w2.stopped)
	require.Equal(t, 4, w1.starts+w2.starts, "nothing was started twice")
	b.root.mu.Lock()
	require.Equal(t, 1, b.root.joins, "it joined once")
	b.root.mu.Unlock()
}

func TestStartsAndServesWithoutRoot(t *testing.T) {
	b := newBed(t)
	b.ready()
	w1 := b.worker("one")
	b.root.want(1, 0)
	eventually(t, "running", b.root.sees([]int{0}, wire.StateRunning))
	b.halt()
	b.root.mu.Lock()
	b.root.away = true
	b.root.mu.Unlock()
	b.start()
	b.ready()
	w2 := b.worker("two") // joins while root is away
	w2.want(serviceIP)
	eventually(t, "routes", w2.hasRoutes(0))
	var status StatusView
	b.get(PathStatus, &status)
	require.False(t, status.Connected)
	require.Zero(t, w1.stopped)
	b.root.mu.Lock()
	b.root.away = false
	b.root.mu.Unlock()
	b.root.want(1, 1)
	eventually(t, "goes on", b.root.sees([]int{0, 1}, wire.StateRunning))
}

func TestInstanceDeletedBehindItsBackIsAdopted(t *testing.T) {
	for name, whileAway := range map[string]bool{"while it runs": false, "while it is away": true} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.ready()
			w1, w2 := b.worker("one"), b.worker("two")
			b.root.want(1, 0, 1)
			eventually(t, "running", b.root.sees([]int{0, 1}, wire.StateRunning))
			before := []map[string]bool{w1.runs(), w2.runs()}
			if whileAway {
				b.halt()
			}
			for _, table := range []string{"instance", "placement"} {
				_, err := b.pool.Exec(t.Context(), "DELETE FROM "+table)
				require.NoError(t, err)
			}
			if !whileAway {
				b.halt()
			}
			b.start()
			eventually(t, "rows are back", func() bool {
				var n, wanted int
				require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM placement WHERE NOT stop AND state = 'RUNNING'),
					(SELECT count(*) FROM instance WHERE wanted)`).Scan(&n, &wanted))
				return n == 2 && wanted == 2
			})
			require.Equal(t, before, []map[string]bool{w1.runs(), w2.runs()})
			require.Zero(t, w1.stopped+w2.stopped)
			require.Equal(t, 2, w1.starts+w2.starts, "none was placed a second time")
			b.root.remove(0)
			eventually(t, "it can still be removed", b.root.sees([]int{0}, wire.StateUndeployed))
			require.Equal(t, 1, w1.stopped+w2.stopped)
		})
	}
}

func TestDatabaseRestoredFromABackupIsOverruled(t *testing.T) {
	b := newBed(t)
	b.ready()
	w := b.worker("one")
	b.root.want(1, 0)
	eventually(t, "running", b.root.sees([]int{0}, wire.StateRunning))
	// The worker holds a later epoch than the cluster's, as if it had spoken to a cluster whose database is lost.
	w.mu.Lock()
	later := uint64(time.Now().Add(time.Hour).UnixMilli())
	w.applied = wire.Stamp{Epoch: later, Revision: 9}
	w.mu.Unlock()
	w.tell(t.Context(), w.engine, true)
	eventually(t, "a higher epoch", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.applied.Epoch > later
	})
	b.root.want(1, 1)
	eventually(t, "goes on", b.root.sees([]int{0, 1}, wire.StateRunning))
}

func TestSecondProcessTakesOver(t *testing.T) {
	b := newBed(t)
	b.ready()
	_, err := store.RaiseEpoch(t.Context(), b.pool)
	require.NoError(t, err)
	b.root.want(1, 0)
	select {
	case err := <-b.done:
		require.ErrorContains(t, err, "taken over")
		b.done <- nil
	case <-time.After(soon):
		t.Fatal("it goes on writing")
	}
}

func TestJoin(t *testing.T) {
	b := newBed(t)
	b.ready()
	key, err := pki.NewKey()
	require.NoError(t, err)
	other, err := pki.NewKey()
	require.NoError(t, err)

	_, status, body := b.postJoin("", "one", key)
	require.Equal(t, http.StatusUnauthorized, status, body)
	_, status, body = b.postJoin("oak1.forged", "one", key)
	require.Equal(t, http.StatusUnauthorized, status, body)
	_, status, body = b.postJoin(b.workerToken(), "one/../../two", key)
	require.Equal(t, http.StatusUnprocessableEntity, status, body)
	_, status, body = b.postJoin(b.workerToken(), "one", key, "0.0.0.0/0", "10.0.0.0/8")
	require.Equal(t, http.StatusConflict, status, body)
	require.Contains(t, body, "10.18.0.0/16")
	require.Contains(t, body, "10.0.0.0/8")

	token := b.workerToken()
	for range 2 { // to ask spends nothing
		require.Equal(t, http.StatusNoContent, b.inspect(token))
	}
	require.Equal(t, http.StatusUnauthorized, b.inspect("oak1.forged"))
	require.Equal(t, http.StatusUnauthorized, b.inspect(""))
	resp, status, body := b.postJoin(token, "one", key, "0.0.0.0/0", "::/0", "192.0.2.0/24", "10.18.0.0/26", "10.30.0.0/16", "nonsense")
	require.Equal(t, http.StatusOK, status, body)
	require.NotEmpty(t, resp.NetCertificate)
	require.Regexp(t, `^:\d+$`, resp.Brokers[0])
	require.Equal(t, http.StatusUnauthorized, b.inspect(token), "it is used up")
	again, status, body := b.postJoin(token, "one", key)
	require.Equal(t, http.StatusOK, status, body)
	require.Equal(t, resp.ID, again.ID, "the answer was lost and is asked for again")
	_, status, body = b.postJoin(token, "two", other)
	require.Equal(t, http.StatusUnauthorized, status, "a token of one use admits one worker: %s", body)
}

func TestJoinWithoutAFreeSubnetIsRefused(t *testing.T) {
	b := newBed(t)
	b.ready()
	b.root.change(func() { b.root.subnets = subnets(1) })
	eventually(t, "one subnet", func() bool {
		b.root.mu.Lock()
		defer b.root.mu.Unlock()
		return b.root.free == 1
	})
	b.worker("one")
	token := b.workerToken()
	key, err := pki.NewKey()
	require.NoError(t, err)
	_, status, body := b.postJoin(token, "two", key)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "no_subnet")
	b.root.change(func() { b.root.subnets = subnets(2) })
	eventually(t, "the same token joins later", func() bool {
		_, status, _ = b.postJoin(token, "two", key)
		return status == http.StatusOK
	})
}

// TestForgottenClusterJoinsAgain: with a root that knows it no more, by a new token; what runs goes on.
func TestForgottenClusterJoinsAgain(t *testing.T) {
	b := newBed(t)
	b.ready()
	w := b.worker("one")
	b.root.want(1, 0)
	eventually(t, "running", b.root.sees([]int{0}, wire.StateRunning))
	require.NoError(t, os.WriteFile(b.tokenFile, []byte("used up"), 0o600))
	b.root.change(func() { b.root.forgotten = true })
	eventually(t, "the cluster says so", func() bool {
		var s StatusView
		b.get(PathStatus, &s)
		return strings.Contains(s.Problem, "make a new token")
	})
	require.NoError(t, os.WriteFile(b.tokenFile, []byte(b.root.token(t)), 0o600))
	b.root.want(1, 0, 1)
	eventually(t, "the cluster goes on", b.root.sees([]int{0, 1}, wire.StateRunning))
	require.Equal(t, 2, w.starts)
	require.Zero(t, w.stopped)
}
