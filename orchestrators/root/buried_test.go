// SPDX-License-Identifier: Apache-2.0

package root

import (
	"math"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// TestWhatHasEndedStaysEnded: a cluster that was restored from a dump runs an instance, and one of a service, that have ended since.
func TestWhatHasEndedStaysEnded(t *testing.T) {
	s := start(t)
	c := s.joinWith("a", 4)
	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	s.deploy(service)
	end := func(number int) wire.InstanceKey {
		key := wire.InstanceKey{ServiceID: service, Number: number}
		c.say(key, 1, 1, wire.StateUndeployed)
		return key
	}
	s.ok(http.MethodDelete, "/api/service/"+service+"/instance/0", nil)
	first := end(0)
	require.Len(t, s.instances(service), 1)
	back := func(key wire.InstanceKey) {
		t.Helper()
		require.Empty(t, c.desired(wire.Stamp{}, 0).Removed)
		require.Empty(t, c.holds(key, nil, wire.InstanceSpec{}).Unknown)
		require.Equal(t, []wire.Tombstone{{InstanceKey: key, Generation: wire.Generation{Placement: 3, Move: math.MaxUint32}}}, c.desired(wire.Stamp{}, 0).Removed)
		c.say(key, 3, 2, wire.StateUndeployed)
		require.Empty(t, c.desired(wire.Stamp{}, 0).Removed)
	}
	back(first)
	back(first)
	s.ok(http.MethodDelete, "/api/service/"+service, nil)
	back(end(1))
	_, err := s.pool.Exec(t.Context(), `UPDATE buried SET at = at - interval '8 days'`)
	require.NoError(t, err)
	service = s.register(s.admin, "other", map[string]any{})
	s.deploy(service)
	s.ok(http.MethodDelete, "/api/service/"+service, nil)
	end(0)
	var n int
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT count(*) FROM buried`).Scan(&n))
	require.Equal(t, 1, n)
}
