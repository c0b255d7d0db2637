// SPDX-License-Identifier: Apache-2.0

package root

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// What a drained worker keeps since no other of its cluster can take it goes to another cluster, and runs on where it is until it runs there.
func TestWhatADrainedWorkerKeepsGoesToAnotherCluster(t *testing.T) {
	s := start(t)
	a := s.joinWith("a", 4)
	service := s.register(s.admin, "app", map[string]any{})
	pinned := s.register(s.admin, "other", map[string]any{"constraints": []any{map[string]any{"type": "clusters", "allowed": []string{"a"}}}})
	s.deploy(service)
	s.deploy(pinned)
	says := func(c *fakeCluster, service string, placement uint32, state wire.State, leaving bool) {
		r := c.full(4)
		r.Full = false
		r.Instances = []wire.InstanceReport{{InstanceKey: wire.InstanceKey{ServiceID: service}, Generation: wire.Generation{Placement: placement, Move: 1},
			State: state, Leaving: leaving, Detail: "its worker is drained"}}
		c.report(r)
	}
	for _, id := range []string{service, pinned} {
		says(a, id, 1, wire.StateRunning, false)
		says(a, id, 1, wire.StateRunning, true)
	}
	// There is no other cluster: it stays, and is not tried in a circle.
	require.Eventually(t, func() bool { return s.count(`SELECT min(attempts) FROM instance WHERE leaving`) > 0 }, 15*time.Second, 20*time.Millisecond)
	cluster, placement := s.at(service)
	require.Equal(t, a.id, cluster)
	require.EqualValues(t, 1, placement)
	require.Equal(t, wire.StateRunning, s.instances(service)[0].Status)

	b := s.joinWith("b", 4)
	r := b.full(4)
	r.Full, r.Aggregate.Gains = false, 9
	b.report(r)
	require.Eventually(t, func() bool { cluster, _ := s.at(service); return cluster == b.id }, 15*time.Second, 20*time.Millisecond)
	graves := func(c *fakeCluster) []wire.Tombstone { return c.desired(wire.Stamp{}, 0).Removed }
	require.Empty(t, graves(a), "it runs on until it is replaced")
	says(a, service, 1, wire.StateRunning, true)
	says(b, service, 2, wire.StateCreating, false)
	require.Empty(t, graves(a))
	cluster, placement = s.at(service)
	require.Equal(t, b.id, cluster, "it is not given to and fro")
	require.EqualValues(t, 2, placement)
	says(b, service, 2, wire.StateRunning, false)
	require.Equal(t, []wire.Tombstone{{InstanceKey: wire.InstanceKey{ServiceID: service}, Generation: wire.Generation{Placement: 1, Move: ^uint32(0)}}}, graves(a))
	require.Empty(t, graves(b))
	says(a, service, 1, wire.StateUndeployed, false)
	require.Empty(t, graves(a))
	require.Equal(t, wire.StateRunning, s.instances(service)[0].Status)

	// Who may be nowhere else stays, and is as it was once the worker is open again.
	cluster, placement = s.at(pinned)
	require.Equal(t, a.id, cluster)
	require.EqualValues(t, 1, placement)
	says(a, pinned, 1, wire.StateRunning, false)
	require.Zero(t, s.count(`SELECT count(*) FROM instance WHERE leaving OR refusals <> '{}'`))
}
