// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

func TestGoesOnWhilePostgresIsAway(t *testing.T) {
	server, err := pgtest.Start("", pgtest.Options{Fsync: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	b := newBedOn(t, server.NewDatabase(t))
	b.ready()
	w1, w2 := b.worker("one"), b.worker("two")
	b.root.want(1, 0, 1)
	eventually(t, "running", b.root.sees([]int{0, 1}, wire.StateRunning))
	token := b.workerToken()

	require.NoError(t, server.Stop("immediate"))
	w1.want(serviceIP) // broker and routes go on
	eventually(t, "routes", w1.hasRoutes(0, 1))
	w2.leave()
	eventually(t, "liveness goes on", func() bool {
		var workers []WorkerView
		b.get(PathWorkers, &workers)
		return (workers[0].Status == "ready") != (workers[1].Status == "ready")
	})
	b.root.want(1, 2) // decisions wait
	key, err := pki.NewKey()
	require.NoError(t, err)
	_, status, body := b.postJoin(token, "three", key)
	require.Equal(t, http.StatusServiceUnavailable, status, body)
	resp, err := http.Get("http://" + b.api + "/readyz")
	require.NoError(t, err)
	_ = resp.Body.Close()
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)

	require.NoError(t, server.Resume())
	b.ready()
	eventually(t, "what was wanted meanwhile", b.root.sees([]int{2}, wire.StateRunning))
	eventually(t, "what was seen meanwhile is stored", func() bool {
		var n int
		err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM overlay WHERE jsonb_array_length(interest->'addresses') = 1`).Scan(&n)
		return err == nil && n == 1
	})
	require.Zero(t, w1.stopped+w2.stopped)
}
