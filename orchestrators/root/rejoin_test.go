// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// TestDeletedClusterJoinsAgain: it gets the subnets that its workers have, and what it still runs and nobody else has is its own again.
func TestDeletedClusterJoinsAgain(t *testing.T) {
	s := start(t)
	key, err := pki.NewKey()
	require.NoError(t, err)
	a := s.joinAs("a", key)
	a.report(a.full(4))
	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	instance := wire.InstanceKey{ServiceID: service}
	a.say(instance, 1, 1, wire.StateRunning)
	subnets := a.desired(wire.Stamp{}, 0).Subnets
	s.ok(http.MethodDelete, "/api/v1/clusters/"+a.id+"?force=true", nil)
	require.Equal(t, wire.StateRequested, s.instances(service)[0].Status)
	s.join("other") // without workers, so that nothing can be placed there
	require.NotEqual(t, subnets, s.join("third").desired(wire.Stamp{}, 0).Subnets)

	again := s.joinAs("a", key)
	require.NotEqual(t, a.id, again.id)
	require.Equal(t, subnets, again.desired(wire.Stamp{}, 0).Subnets)
	r := again.full(4)
	r.Instances = []wire.InstanceReport{{InstanceKey: instance, Generation: wire.Generation{Placement: 1, Move: 1}, State: wire.StateRunning}}
	again.report(r)
	one := s.instances(service)[0]
	require.Equal(t, again.id, one.ClusterID)
	require.EqualValues(t, 1, one.Placement, "it is not started anew")
	require.Equal(t, wire.StateRunning, one.Status)
	require.Empty(t, again.desired(wire.Stamp{}, 0).Removed)
}

// TestDeletedClusterLosesWhatOthersHave: what was given to another meanwhile stops when that runs.
func TestDeletedClusterLosesWhatOthersHave(t *testing.T) {
	s := start(t)
	key, err := pki.NewKey()
	require.NoError(t, err)
	a := s.joinAs("a", key)
	a.report(a.full(4))
	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	instance := wire.InstanceKey{ServiceID: service}
	a.say(instance, 1, 1, wire.StateRunning)
	s.ok(http.MethodDelete, "/api/v1/clusters/"+a.id+"?force=true", nil)
	b := s.joinWith("b", 4)
	s.root.wakeRetry()
	require.Eventually(t, func() bool { return s.instances(service)[0].ClusterID == b.id }, 10*time.Second, 50*time.Millisecond)

	again := s.joinAs("a", key)
	r := again.full(4)
	r.Instances = []wire.InstanceReport{{InstanceKey: instance, Generation: wire.Generation{Placement: 1, Move: 1}, State: wire.StateRunning}}
	again.report(r)
	require.Empty(t, again.desired(wire.Stamp{}, 0).Removed)
	b.say(instance, 2, 1, wire.StateRunning)
	require.Len(t, again.desired(wire.Stamp{}, 0).Removed, 1)
	require.Equal(t, b.id, s.instances(service)[0].ClusterID)
}
