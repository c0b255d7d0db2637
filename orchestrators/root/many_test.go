// SPDX-License-Identifier: Apache-2.0

package root

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// count returns what a query about one number says.
func (s *system) count(query string, args ...any) (n int) {
	s.t.Helper()
	require.NoError(s.t, s.pool.QueryRow(s.t.Context(), query, args...).Scan(&n))
	return n
}

// Many instances at once live as each of them would alone: every one has its number, its addresses and its events, and nothing of them
// is left.
func TestManyInstancesLiveAsOneDoes(t *testing.T) {
	const instances = 300 // more than one transaction adds
	s := start(t)
	c := s.joinWith("c1", 100)
	service := s.register(s.admin, "app", map[string]any{"memory": 10})
	s.ok(http.MethodPut, "/api/v1/service/"+service+"/scale", map[string]any{"replicas": instances})
	require.Eventually(t, func() bool {
		return s.count(`SELECT count(*) FROM instance WHERE cluster_id = $1 AND placement = 1 AND state = 'CLUSTER_SCHEDULED'`, c.id) == instances
	}, 30*time.Second, 20*time.Millisecond)
	require.Equal(t, instances, s.count(`SELECT count(DISTINCT number) FROM instance WHERE number < $1`, instances))
	require.Equal(t, 2*instances, s.count(`SELECT count(DISTINCT spec->>k) FROM instance, unnest(ARRAY['instance_ip', 'instance_ipv6']) k`))
	require.Equal(t, 2*instances, s.count(`SELECT count(*) FROM address WHERE number IS NOT NULL AND released_at IS NULL`))
	requested := `SELECT count(DISTINCT number) FROM instance_event WHERE state = 'REQUESTED' AND placement = 0`
	require.Equal(t, instances, s.count(requested))
	require.Equal(t, 2*instances, s.count(`SELECT count(*) FROM instance_event`), "one for the wish, one for the place")
	require.Len(t, c.desired(wire.Stamp{}, 0).Changed, instances)

	// A report that says two things of each: both are noted, in their order, and the last one counts.
	r := c.full(100)
	r.Full = false
	for _, state := range []wire.State{wire.StateNodeScheduled, wire.StateRunning} {
		for n := range instances {
			r.Instances = append(r.Instances, wire.InstanceReport{InstanceKey: wire.InstanceKey{ServiceID: service, Number: n},
				Generation: wire.Generation{Placement: 1, Move: 1}, State: state, Restarts: n})
		}
	}
	c.report(r)
	require.Equal(t, instances, s.count(`SELECT count(*) FROM instance WHERE state = 'RUNNING' AND restarts = number AND move = 1 AND attempts = 0`))
	require.Equal(t, instances, s.count(`SELECT count(*) FROM instance_event r JOIN instance_event n USING (service_id, number)
		WHERE r.state = 'RUNNING' AND n.state = 'NODE_SCHEDULED' AND n.id < r.id`))

	// Half of them end; one of these is told of once more, under a placement that root has never given: it is to be stopped again.
	s.ok(http.MethodPut, "/api/v1/service/"+service+"/scale", map[string]any{"replicas": instances / 2})
	require.Eventually(t, func() bool { return s.count(`SELECT count(*) FROM tombstone`) == instances/2 }, 30*time.Second, 20*time.Millisecond)
	end := func(from, to int) {
		r := c.full(100)
		r.Full = false
		for n := from; n < to; n++ {
			r.Instances = append(r.Instances, wire.InstanceReport{InstanceKey: wire.InstanceKey{ServiceID: service, Number: n},
				Generation: wire.Generation{Placement: 1, Move: 1}, State: wire.StateUndeployed})
		}
		r.Instances = append(r.Instances, wire.InstanceReport{InstanceKey: wire.InstanceKey{ServiceID: service, Number: from},
			Generation: wire.Generation{Placement: math.MaxUint16, Move: 1}, State: wire.StateRunning})
		c.report(r)
		require.Equal(t, 1, s.count(`SELECT count(*) FROM tombstone`))
		r.Instances = r.Instances[len(r.Instances)-1:]
		r.Instances[0].State = wire.StateUndeployed
		c.report(r)
	}
	end(instances/2, instances)
	require.Equal(t, instances/2, s.count(`SELECT count(*) FROM instance`))
	require.Equal(t, instances/2, s.count(`SELECT count(*) FROM instance WHERE number < $1 AND deleted_at IS NULL`, instances/2))
	require.Equal(t, instances/2, s.count(`SELECT count(*) FROM instance_event WHERE state = 'UNDEPLOYED'`))
	require.Equal(t, instances, s.count(`SELECT count(*) FROM address WHERE number IS NOT NULL AND released_at IS NULL`))

	// The rest goes with the service.
	s.ok(http.MethodDelete, "/api/service/"+service, nil)
	end(0, instances/2)
	for _, table := range []string{"instance", "tombstone", "instance_event", "service"} {
		require.Zero(t, s.count(`SELECT count(*) FROM `+table), table)
	}
	require.Zero(t, s.count(`SELECT count(*) FROM address WHERE released_at IS NULL`))
}
