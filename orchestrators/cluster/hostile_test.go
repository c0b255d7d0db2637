// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
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

// TestNewerFormatOfRootIsRefusedWithAClearState has root be upgraded before the cluster.
func TestNewerFormatOfRootIsRefusedWithAClearState(t *testing.T) {
	b := newBed(t)
	b.ready()
	w := b.worker("one")
	b.root.want(1, 0)
	eventually(t, "running", b.root.sees([]int{0}, wire.StateRunning))
	b.root.change(func() { b.root.format = wire.Format + 1 })
	b.root.remove(0)
	status := func() (s StatusView) { b.get(PathStatus, &s); return s }
	eventually(t, "a clear state", func() bool { return strings.Contains(status().Problem, "upgrade") })
	require.True(t, status().Connected)
	require.Len(t, w.runs(), 1)
	b.root.change(func() { b.root.format = 0 })
	eventually(t, "it goes on", b.root.sees([]int{0}, wire.StateUndeployed))
	eventually(t, "no problem", func() bool { return status().Problem == "" })
}

// TestNoRequestIsAnInternalError sends to every route of the cluster what programs stumble over.
func TestNoRequestIsAnInternalError(t *testing.T) {
	b := newBed(t)
	b.ready()
	csr := func() string {
		key, err := pki.NewKey()
		require.NoError(t, err)
		text, err := pki.NewCSR(key)
		require.NoError(t, err)
		return strings.ReplaceAll(string(text), "\n", `\n`)
	}
	bodies := []string{"", "null", "[]", "{", `{"format":99}`, `{"format":-1,"name":"a\u0000b"}`, strings.Repeat("[", 200_000), strings.Repeat("x", 10<<20),
		`{"format":1,"name":"w","csr":"` + csr() + `","net_csr":"` + csr() + `","routes":["\u0000","999.1.1.1/99","","0.0.0.0/0"]}`,
		`{"format":1,"name":"w","csr":"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----","net_csr":""}`,
	}
	for _, path := range []string{wire.PathWorkerJoin, PathStatus, PathWorkers, PathInstances, "/healthz", "/readyz", "/metrics", "/nothing", "/api/v1/%00"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, "BREW"} {
			for _, body := range bodies {
				for _, token := range []string{"", "oak1.x", "\u00ff", b.workerToken()[:80]} {
					// A reader of unknown length is sent in chunks.
					req, err := http.NewRequestWithContext(t.Context(), method, "http://"+b.api+path, io.MultiReader(strings.NewReader(body)))
					require.NoError(t, err)
					req.Header.Set("Authorization", "Bearer "+token)
					resp, err := http.DefaultClient.Do(req)
					if err != nil && len(body) > 1<<20 {
						continue // refused before it was sent
					}
					require.NoError(t, err)
					_, _ = io.Copy(io.Discard, resp.Body)
					require.NoError(t, resp.Body.Close())
					require.Less(t, resp.StatusCode, 500, "%s %s with %.60q", method, path, body)
				}
				if len(body) > 1<<20 {
					break
				}
			}
		}
	}
	b.worker("one")
}
