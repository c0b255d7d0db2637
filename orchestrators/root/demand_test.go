// SPDX-License-Identifier: Apache-2.0

package root

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func TestDemand(t *testing.T) {
	munich := &clusterState{id: "id1", name: "munich", location: "48.14,11.58,1000", active: true,
		aggregate: wire.Aggregate{Addons: []string{"builder"}, VolumeDrivers: []string{"hostpath"}}}
	silent := &clusterState{id: "id2", name: "silent"}
	view := &clusterView{clusters: []*clusterState{munich, silent}}
	for _, tc := range []struct {
		name    string
		service sla.Microservice
		refused string // of munich; "" for accepted
		state   wire.State
	}{
		{"any", sla.Microservice{}, "", wire.StateNoActiveCluster},
		{"direct", sla.Microservice{Constraints: []sla.Constraint{{Type: sla.ConstraintDirect, Cluster: "munich"}}}, "", wire.StateClusterNoCapacity},
		{"direct node only", sla.Microservice{Constraints: []sla.Constraint{{Type: sla.ConstraintDirect, Node: "w1;w2"}}}, "", wire.StateNoActiveCluster},
		{"unknown", sla.Microservice{Constraints: []sla.Constraint{{Type: sla.ConstraintDirect, Cluster: "oslo"}}}, "not among", wire.StateClusterNotFound},
		{"silent", sla.Microservice{Constraints: []sla.Constraint{{Type: sla.ConstraintClusters, Allowed: []string{"silent"}}}}, "not among", wire.StateClusterNotActive},
		{"both", sla.Microservice{Constraints: []sla.Constraint{
			{Type: sla.ConstraintClusters, Allowed: []string{"silent", "munich"}}, {Type: sla.ConstraintDirect, Cluster: "munich"},
		}}, "", wire.StateClusterNoCapacity},
		{"add-on", sla.Microservice{Constraints: []sla.Constraint{{Type: sla.ConstraintAddons, Needs: []string{"builder"}}}}, "", wire.StateNoActiveCluster},
		{"lacks add-on", sla.Microservice{Constraints: []sla.Constraint{{Type: sla.ConstraintAddons, Needs: []string{"x"}}}}, "lacks add-on x", wire.StateNoActiveCluster},
		{"volume", sla.Microservice{Volumes: []sla.Volume{{Driver: "nfs"}}}, "lacks volume driver nfs", wire.StateNoActiveCluster},
		{"near", sla.Microservice{Constraints: []sla.Constraint{{Type: sla.ConstraintGeo, Location: "11.0;48.1", Threshold: 50}}}, "", wire.StateNoActiveCluster},
		{"far", sla.Microservice{Constraints: []sla.Constraint{{Type: sla.ConstraintGeo, Location: "13.4;52.5", Threshold: 50}}}, "km too far away", wire.StateNoActiveCluster},
	} {
		d := demandOf(&tc.service)
		got := d.refuses(munich)
		if tc.refused == "" {
			require.Empty(t, got, tc.name)
		} else {
			require.Contains(t, got, tc.refused, tc.name)
		}
		require.Equal(t, tc.state, d.failure(view), tc.name)
	}
	d := demand{}
	require.Contains(t, d.refuses(silent), "has not reported")
}

func TestAttemptDelayIsBounded(t *testing.T) {
	require.Equal(t, "5s", attemptDelay(1).String())
	require.Equal(t, "10s", attemptDelay(2).String())
	require.Equal(t, "5m20s", attemptDelay(1000).String())
}
