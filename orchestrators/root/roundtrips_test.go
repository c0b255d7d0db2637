// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// What workers of two clusters have measured counts more than how far apart they are: the nearer place may have the longer way.
func TestMeasuredRoundTripsBetweenClustersCount(t *testing.T) {
	s := start(t)
	var clusters []*fakeCluster
	var workers []string
	report := func(n int, trips map[string]float64) {
		at := []wire.Location{{Latitude: 48.1, Longitude: 11.6}, {Latitude: 48.2, Longitude: 11.7}, {Latitude: 52.5, Longitude: 13.4}}[n]
		r := clusters[n].full(4)
		r.Aggregate.Where = wire.Point{Location: &at, RadiusKM: 1}
		r.RoundTrips = trips
		clusters[n].report(r)
	}
	for n := range 3 {
		clusters = append(clusters, s.join(fmt.Sprint("c", n)))
		workers = append(workers, pki.NewID())
		_, err := s.pool.Exec(t.Context(), `INSERT INTO overlay_worker (cluster_id, worker_id, peer) VALUES ($1, $2, '{}')`, clusters[n].id, workers[n])
		require.NoError(t, err)
		report(n, nil)
	}
	db := s.register(s.admin, "base", map[string]any{"microservice_name": "db", "constraints": []any{map[string]any{"type": "direct", "cluster": "c0"}}})
	s.deploy(db)
	deploy := func(name string) (cluster string) {
		service := s.register(s.admin, name, map[string]any{"constraints": []any{map[string]any{"type": "clusters", "denied": []any{"c0"}}},
			"connectivity": []any{map[string]any{"target_microservice_id": db, "con_constraints": []any{map[string]any{"type": "latency", "threshold": 20}}}}})
		s.deploy(service)
		cluster, _ = s.at(service)
		return cluster
	}
	require.Equal(t, clusters[1].id, deploy("before"), "by the distance alone")

	// c1 is next door and far away in the network, c2 the other way round; of strangers, and of what cannot be, nothing is believed.
	report(1, map[string]float64{workers[0]: 80, pki.NewID(): 1, "../x": 1})
	report(2, map[string]float64{workers[0]: 9, workers[1]: -3})
	require.Equal(t, 2, s.count(`SELECT count(*) FROM cluster_round_trip`))
	require.Equal(t, clusters[2].id, deploy("after"))
	var told float64
	for _, i := range clusters[2].desired(wire.Stamp{}, 0).Changed {
		for _, p := range i.Spec.Near {
			require.Equal(t, clusters[0].id, p.Points[0].Cluster)
			told = p.Points[0].RoundTripMS
		}
	}
	require.InDelta(t, 9, told, 0, "so that the cluster goes by it too")

	// What was measured long ago is forgotten, and the distance counts again.
	_, err := s.pool.Exec(t.Context(), `UPDATE cluster_round_trip SET told_at = told_at - $1::interval`, roundTripsHold)
	require.NoError(t, err)
	require.Equal(t, clusters[1].id, deploy("later"))
}
