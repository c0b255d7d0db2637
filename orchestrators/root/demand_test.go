// SPDX-License-Identifier: Apache-2.0

package root

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

func TestDemand(t *testing.T) {
	group := wire.AggregateGroup{Architecture: "amd64", Runtime: "container", Workers: 2}
	munich := &clusterState{id: "id1", name: "munich", location: "48.14,11.58,1000", active: true,
		aggregate: wire.Aggregate{Addons: []string{"builder"}, VolumeDrivers: []string{"hostpath"}, Groups: []wire.AggregateGroup{group}}}
	silent := &clusterState{id: "id2", name: "silent"}
	r := &Root{areas: map[string]wire.Point{"marienplatz": {Location: &wire.Location{Latitude: 48.137, Longitude: 11.575}}}}
	one := func(c sla.Constraint) sla.Microservice { return sla.Microservice{Constraints: []sla.Constraint{c}} }
	for _, tc := range []struct {
		name    string
		service sla.Microservice
		refused string // of munich; "" for accepted
		state   wire.State
	}{
		{"any", sla.Microservice{}, "", wire.StateNoActiveCluster},
		{"direct", one(sla.Constraint{Type: sla.ConstraintDirect, Cluster: "munich"}), "", wire.StateClusterNoCapacity},
		{"direct of several", one(sla.Constraint{Type: sla.ConstraintDirect, Cluster: "oslo; munich"}), "", wire.StateClusterNoCapacity},
		{"direct by id", one(sla.Constraint{Type: sla.ConstraintDirect, Cluster: "id1"}), "", wire.StateClusterNoCapacity},
		{"direct node only", one(sla.Constraint{Type: sla.ConstraintDirect, Node: "w1;w2"}), "", wire.StateNoActiveCluster},
		{"unknown", one(sla.Constraint{Type: sla.ConstraintDirect, Cluster: "oslo"}), "not among", wire.StateClusterNotFound},
		{"silent", one(sla.Constraint{Type: sla.ConstraintClusters, Allowed: []string{"silent"}}), "not among", wire.StateClusterNotActive},
		{"denied", one(sla.Constraint{Type: sla.ConstraintClusters, Denied: []string{"oslo", "munich"}}), "kept out of", wire.StateNoActiveCluster},
		{"both", sla.Microservice{Constraints: []sla.Constraint{
			{Type: sla.ConstraintClusters, Allowed: []string{"silent", "munich"}}, {Type: sla.ConstraintDirect, Cluster: "munich"},
		}}, "", wire.StateClusterNoCapacity},
		{"nothing in common", sla.Microservice{Constraints: []sla.Constraint{
			{Type: sla.ConstraintClusters, Allowed: []string{"silent"}}, {Type: sla.ConstraintDirect, Cluster: "munich"},
		}}, "none in common", wire.StateClusterNotFound},
		{"add-on", one(sla.Constraint{Type: sla.ConstraintAddons, Needs: []string{"builder"}}), "", wire.StateNoActiveCluster},
		{"lacks add-on", one(sla.Constraint{Type: sla.ConstraintAddons, Needs: []string{"x"}}), "lacks add-on x", wire.StateNoActiveCluster},
		{"volume", sla.Microservice{Volumes: []sla.Volume{{Driver: "nfs"}}}, "lacks volume driver nfs", wire.StateNoActiveCluster},
		{"near", one(sla.Constraint{Type: sla.ConstraintGeo, Location: "11.0;48.1", Threshold: 50}), "", wire.StateNoActiveCluster},
		{"far", one(sla.Constraint{Type: sla.ConstraintGeo, Location: "13.4;52.5", Threshold: 50}), "is 501 km from 13.4;52.5, the service allows 50", wire.StateNoActiveCluster},
		{"far, but not rigid", one(sla.Constraint{Type: sla.ConstraintGeo, Location: "13.4;52.5", Threshold: 450, Rigidness: 0.8}), "", wire.StateNoActiveCluster},
		{"latency to an area", one(sla.Constraint{Type: sla.ConstraintLatency, Area: "Marienplatz", Threshold: 1}), "", wire.StateNoActiveCluster},
		{"latency to a cluster's area", one(sla.Constraint{Type: sla.ConstraintLatency, Area: "Munich", Threshold: 1}), "", wire.StateNoActiveCluster},
		{"latency to coordinates", one(sla.Constraint{Type: sla.ConstraintLatency, Area: "13.4;52.5", Threshold: 3}), "ms from 13.4;52.5 (at least, by the distance)", wire.StateNoActiveCluster},
		{"unknown area", one(sla.Constraint{Type: sla.ConstraintLatency, Area: "Atlantis", Threshold: 3}), "Atlantis is not known: name a cluster", wire.StateNoActiveCluster},
		{"GPU", sla.Microservice{VGPUs: 1}, "has no GPU, the service needs 1", wire.StateNoActiveCluster},
		{"TPU", sla.Microservice{VTPUs: 1}, "has no TPU, the service needs 1", wire.StateNoActiveCluster},
		{"bandwidth", sla.Microservice{BandwidthIn: 1}, "does not tell the speed of its uplink", wire.StateNoActiveCluster},
	} {
		t.Run(tc.name, func(t *testing.T) {
			view := newView([]*clusterState{munich, silent})
			view.roundTrips = map[clusterPair]float64{} // nothing was measured, so that no database is asked
			d := demandOf(&tc.service)
			spec, err := specOf(application{}, &tc.service, nil)
			require.NoError(t, err)
			spec.Runtime = ""
			req := scheduler.FromSpec("s", &spec)
			req.Nodes = nil
			d.ask(&req)
			i := &instanceRow{InstanceKey: wire.InstanceKey{ServiceID: "s"}, service: tc.service}
			near, err := r.resolve(t.Context(), nil, i, &d, view)
			require.NoError(t, err)
			for n := range near {
				req.Near = append(req.Near, scheduler.DemandOf(&near[n]))
			}
			placement, why := view.pool.Place(&req, scheduler.Spread)
			if tc.refused == "" {
				require.Equal(t, "id1", placement.Site, why.String())
			} else {
				require.Contains(t, why.String(), "munich: ")
				require.Contains(t, why.String(), tc.refused)
			}
			require.Equal(t, tc.state, d.failure(view))
			if tc.refused == "" || len(tc.service.Constraints) > 0 && len(near) == 0 {
				require.Equal(t, tc.refused == "", barred(&tc.service, munich) == "", barred(&tc.service, munich))
			}
		})
	}
}

// Constraints of an application hold for all its services, beside their own.
func TestConstraintsOfTheApplication(t *testing.T) {
	app := application{Constraints: []sla.Constraint{{Type: sla.ConstraintDirect, Node: "w1;w2"}, {Type: sla.ConstraintAddons, Needs: []string{"camera"}}}}
	spec, err := specOf(app, &sla.Microservice{Constraints: []sla.Constraint{{Type: sla.ConstraintAddons, Needs: []string{"lidar"}}}}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"w1", "w2"}, spec.Node)
	require.Equal(t, []string{"lidar", "camera"}, spec.Addons)
}

// Bandwidth to another service is set aside of the worker's uplink, in both directions.
func TestBandwidthToAServiceIsReserved(t *testing.T) {
	spec, err := specOf(application{}, &sla.Microservice{BandwidthIn: 5, Connectivity: []sla.Connectivity{{TargetMicroserviceID: "db",
		Constraints: []sla.LinkConstraint{{Type: "bandwidth", Threshold: 100}, {Type: "latency", Threshold: 10}}}}}, nil)
	require.NoError(t, err)
	require.Equal(t, [2]int{105, 100}, [2]int{spec.BandwidthIn, spec.BandwidthOut})
}

func TestAttemptDelayIsBounded(t *testing.T) {
	require.Equal(t, "1s", attemptDelay(1).String())
	require.Equal(t, "2s", attemptDelay(2).String())
	require.Equal(t, "4m16s", attemptDelay(1000).String())
}
