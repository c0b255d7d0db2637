// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// tells has a cluster answer every question for its workers until the test ends, and count the questions.
func (c *fakeCluster) tells(list func() wire.WorkerList) (asked func() int) {
	count := make(chan int, 1)
	count <- 0
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var since wire.Stamp
		answered := uint64(0)
		for {
			select {
			case <-stop:
				return
			default:
			}
			d := c.desired(since, time.Second)
			since = d.Stamp
			if d.ShowWorkers == answered {
				continue
			}
			answered = d.ShowWorkers
			r, told := c.full(1), list()
			told.Answers = answered
			r.Workers, r.Applied = &told, since
			count <- <-count + 1
			c.report(r)
		}
	}()
	c.s.t.Cleanup(func() { close(stop); <-done })
	return func() int {
		n := <-count
		count <- n
		return n
	}
}

func TestWorkersAreShownOnDemand(t *testing.T) {
	s := start(t)
	c, away := s.joinWith("c1", 1), s.joinWith("c2", 1)
	one, two := pki.NewID(), pki.NewID()
	asked := c.tells(func() wire.WorkerList {
		return wire.WorkerList{Workers: []wire.WorkerView{
			{ID: one, Name: "w1", Status: "ready", Mode: wire.WorkerOpen, Architecture: "amd64"},
			{ID: two, Name: "w2\x00", Status: "ready", Mode: wire.WorkerCordoned, Reason: strings.Repeat("x", 100_000)},
			{ID: "not an id", Name: "w3", Mode: wire.WorkerOpen},
		}}
	})
	require.Zero(t, asked(), "nobody tells without being asked")
	for range 3 {
		list := s.ok(http.MethodGet, "/api/v1/clusters/"+c.id+"/workers", nil).([]any)
		require.Len(t, list, 2)
		first := list[0].(map[string]any)
		require.Equal(t, "w1", first["name"])
		require.Equal(t, "c1", first["cluster_name"])
		require.Nil(t, first["wanted"])
		require.Equal(t, "w2", list[1].(map[string]any)["name"])
		require.LessOrEqual(t, len(list[1].(map[string]any)["reason"].(string)), maxDetail+3)
	}
	require.Equal(t, 1, asked(), "one answer serves several questions that come together")
	require.Equal(t, "w2", s.ok(http.MethodGet, "/api/v1/workers/"+two, nil).(map[string]any)["name"])
	require.Len(t, s.ok(http.MethodGet, "/api/v1/clusters/"+c.id+"/workers?limit=1", nil), 1)

	problem := s.wants(404, s.admin, http.MethodGet, "/api/v1/workers/"+pki.NewID(), nil)
	require.Equal(t, "not_found", problem["code"])
	s.wants(404, s.admin, http.MethodGet, "/api/v1/clusters/"+pki.NewID()+"/workers", nil)
	_, err := s.pool.Exec(t.Context(), `UPDATE cluster SET reported_at = now() - interval '1 hour' WHERE id = $1`, away.id)
	require.NoError(t, err)
	problem = s.wants(504, s.admin, http.MethodGet, "/api/v1/clusters/"+away.id+"/workers", nil)
	require.Equal(t, "cluster_silent", problem["code"])
	require.Len(t, s.ok(http.MethodGet, "/api/v1/workers", nil), 2)
}

func TestAClusterMayTellNothingOfItsWorkers(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 1)
	c.tells(func() wire.WorkerList {
		return wire.WorkerList{Withheld: true, Workers: []wire.WorkerView{{ID: pki.NewID(), Mode: wire.WorkerOpen}}}
	})
	problem := s.wants(403, s.admin, http.MethodGet, "/api/v1/clusters/"+c.id+"/workers", nil)
	require.Equal(t, "workers_withheld", problem["code"])
	require.Empty(t, s.ok(http.MethodGet, "/api/v1/workers", nil))
}

func TestOrdersForWorkersGoDownAsState(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 1)
	id := pki.NewID()
	c.tells(func() wire.WorkerList {
		return wire.WorkerList{Workers: []wire.WorkerView{{ID: id, Name: "w1", Mode: wire.WorkerOpen}}}
	})
	path := "/api/v1/workers/" + id
	w := s.ok(http.MethodPut, path+"/mode", map[string]any{"mode": "drained", "reason": "new disk"}).(map[string]any)
	require.Equal(t, "drained", w["wanted"].(map[string]any)["mode"])
	d := c.desired(wire.Stamp{}, 0)
	require.Len(t, d.Orders, 1)
	first := d.Orders[0]
	require.Equal(t, wire.WorkerOrder{WorkerID: id, Stamp: first.Stamp, Mode: wire.WorkerDrained, Reason: "new disk"}, first)
	require.False(t, first.Stamp.After(d.Stamp))
	require.Empty(t, c.desired(d.Stamp, 0).Orders, "what is known is not told again")

	s.ok(http.MethodPut, path+"/mode", map[string]any{"mode": "open"})
	next := c.desired(d.Stamp, 0)
	require.Len(t, next.Orders, 1)
	require.Equal(t, wire.WorkerOpen, next.Orders[0].Mode)
	require.True(t, next.Orders[0].Stamp.After(first.Stamp))

	require.Eventually(t, func() bool {
		_, err := s.pool.Exec(t.Context(), `UPDATE cluster SET workers_told_at = NULL`)
		require.NoError(t, err)
		wanted := s.ok(http.MethodGet, path, nil).(map[string]any)["wanted"].(map[string]any)
		return wanted["taken"] == true && wanted["by"] == "Admin"
	}, 20*time.Second, 10*time.Millisecond, "the cluster has reported what it applied")

	for path, body := range map[string]map[string]any{"$.mode": {"mode": "gone"}, "$.reason": {"mode": "open", "reason": "a\nb"}, "$.x": {"mode": "open", "x": 1}} {
		problem := s.wants(422, s.admin, http.MethodPut, "/api/v1/workers/"+id+"/mode", body)
		require.Equal(t, path, problem["path"])
	}
	eve := s.user("eve")
	s.wants(403, eve, http.MethodPut, path+"/mode", map[string]any{"mode": "open"})
	s.wants(403, eve, http.MethodGet, path, nil)
}
