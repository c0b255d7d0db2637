// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// told returns an instance's events as "STATE cluster", and the last of them.
func (s *system) told(service, query string) (out []string, last map[string]any) {
	s.t.Helper()
	for _, e := range s.ok(http.MethodGet, "/api/v1/service/"+service+"/events"+query, nil).([]any) {
		last = e.(map[string]any)
		out = append(out, fmt.Sprint(last["status"], " ", last["cluster_name"]))
	}
	return out, last
}

func TestEventsTellTheLifeOfAnInstance(t *testing.T) {
	s := start(t)
	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	got, last := s.told(service, "")
	require.Len(t, got, 2, "asked for, and refused")
	require.NotEmpty(t, last["status_detail"])

	c := s.joinWith("c1", 1)
	require.Eventually(t, func() bool {
		_, last := s.told(service, "")
		return last["cluster_name"] == "c1"
	}, 20*time.Second, 50*time.Millisecond)
	key := wire.InstanceKey{ServiceID: service, Number: 0}
	placed := s.instances(service)[0]
	c.say(key, uint32(placed.Placement), 1, wire.StateRunning)
	before, _ := s.told(service, "?instance=0")
	c.say(key, uint32(placed.Placement), 1, wire.StateRunning)
	after, _ := s.told(service, "?instance=0")
	require.Equal(t, before, after, "what changes nothing is no event")
	require.Equal(t, "RUNNING c1", after[len(after)-1])
	require.Contains(t, after, "CLUSTER_SCHEDULED c1")
	none, _ := s.told(service, "?instance=7")
	require.Empty(t, none)

	// One that goes up and down for ever leaves its last fifty changes.
	for i := range 60 {
		c.say(key, uint32(placed.Placement), uint32(2+i), []wire.State{wire.StateFailed, wire.StateRunning}[i%2])
	}
	got, _ = s.told(service, "")
	require.Len(t, got, 50)

	s.ok(http.MethodDelete, "/api/service/"+service+"/instance/0", nil)
	_, last = s.told(service, "")
	require.Equal(t, true, last["deleting"])
	c.say(key, uint32(placed.Placement), 100, wire.StateUndeployed)
	got, last = s.told(service, "")
	require.Equal(t, "UNDEPLOYED c1", got[len(got)-1])
	require.Equal(t, "it is gone", last["status_detail"])
	require.Empty(t, s.instances(service))
	_, err := s.pool.Exec(t.Context(), `UPDATE instance_event SET at = at - interval '8 days'`)
	require.NoError(t, err)
	s.deploy(service)
	s.ok(http.MethodDelete, "/api/service/"+service+"/instance/-1", nil)
	c.say(wire.InstanceKey{ServiceID: service, Number: 1}, 1, 100, wire.StateUndeployed)
	got, _ = s.told(service, "?instance=0")
	require.Empty(t, got, "those of an instance long gone")
	s.ok(http.MethodDelete, "/api/service/"+service, nil)
	var left int
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT count(*) FROM instance_event`).Scan(&left))
	require.Zero(t, left)
	s.wants(422, s.admin, http.MethodGet, "/api/v1/service/"+s.register(s.admin, "b", map[string]any{})+"/events?instance=x", nil)
}
