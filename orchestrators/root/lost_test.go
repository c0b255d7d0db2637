// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

// losing is a root that takes a cluster for lost after a second, with an instance that runs in a, and a second cluster.
type losing struct {
	*system
	a, b    *fakeCluster
	service string
	key     wire.InstanceKey
}

func lose(t *testing.T) *losing {
	t.Helper()
	s := startWith(t, pgtest.New(t), Config{Ranges: semantic.DefaultRanges(), LostAfter: time.Second})
	l := &losing{system: s, a: s.joinWith("a", 4)}
	l.service = s.register(s.admin, "app", map[string]any{})
	s.deploy(l.service)
	l.key = wire.InstanceKey{ServiceID: l.service}
	l.a.say(l.key, 1, 1, wire.StateRunning)
	l.b = s.joinWith("b", 4)
	return l
}

func (l *losing) one() instanceJSON { return l.instances(l.service)[0] }

// moves waits until the instance is given to b, which alone reports meanwhile.
func (l *losing) moves() {
	l.t.Helper()
	require.Eventually(l.t, func() bool {
		l.b.report(l.b.full(4))
		return l.one().ClusterName == "b"
	}, 30*time.Second, 200*time.Millisecond)
	require.EqualValues(l.t, 2, l.one().Placement)
}

func (l *losing) graves(c *fakeCluster) []wire.Tombstone { return c.desired(wire.Stamp{}, 0).Removed }

func TestLostClustersInstancesGoToOthers(t *testing.T) {
	l := lose(t)
	l.moves()
	require.Empty(t, l.graves(l.a), "it runs on until it is replaced")
	// The lost one is back before the replacement runs.
	l.a.say(l.key, 1, 1, wire.StateRunning)
	require.Empty(t, l.graves(l.a))
	require.Equal(t, "b", l.one().ClusterName, "it is not given to and fro")
	l.b.say(l.key, 2, 1, wire.StateCreating)
	require.Empty(t, l.graves(l.a))
	l.b.say(l.key, 2, 1, wire.StateRunning)
	require.Equal(t, []wire.Tombstone{{InstanceKey: l.key, Generation: wire.Generation{Placement: 1, Move: ^uint32(0)}}}, l.graves(l.a))
	require.Empty(t, l.graves(l.b))
	l.a.say(l.key, 1, 1, wire.StateRunning) // it has not heard yet
	require.Equal(t, wire.StateRunning, l.one().Status)
	require.EqualValues(t, 2, l.one().Placement)
	l.a.say(l.key, 1, 1, wire.StateUndeployed)
	require.Empty(t, l.graves(l.a))
	require.Equal(t, "b", l.one().ClusterName)
}

func TestLostClusterHearsOfDeletionWhenItIsBack(t *testing.T) {
	l := lose(t)
	l.moves()
	l.ok(http.MethodDelete, "/api/service/"+l.service+"/instance/0", nil)
	require.Len(t, l.graves(l.a), 1)
	require.Len(t, l.graves(l.b), 1)
	l.b.say(l.key, 2, 0, wire.StateUndeployed)
	require.Len(t, l.instances(l.service), 1, "a may still run it")
	l.a.say(l.key, 1, 1, wire.StateUndeployed)
	require.Empty(t, l.instances(l.service))
}

func TestLostClusterKeepsWhatNobodyElseCanTake(t *testing.T) {
	s := startWith(t, pgtest.New(t), Config{Ranges: semantic.DefaultRanges(), LostAfter: time.Second})
	a := s.joinWith("a", 4)
	b := s.joinWith("b", 4)
	pinned := s.register(s.admin, "app", map[string]any{"constraints": []any{map[string]any{"type": "clusters", "allowed": []string{"a"}}}})
	done := s.register(s.admin, "done", map[string]any{"one_shot": true, "constraints": []any{map[string]any{"type": "clusters", "allowed": []string{"a"}}}})
	s.deploy(pinned)
	s.deploy(done)
	a.say(wire.InstanceKey{ServiceID: pinned}, 1, 1, wire.StateRunning)
	a.say(wire.InstanceKey{ServiceID: done}, 1, 1, wire.StateCompleted)
	for range 40 { // longer than the grace time and a report
		b.report(b.full(4))
		time.Sleep(200 * time.Millisecond)
	}
	for service, state := range map[string]wire.State{pinned: wire.StateRunning, done: wire.StateCompleted} {
		i := s.instances(service)[0]
		require.Equal(t, "a", i.ClusterName)
		require.EqualValues(t, 1, i.Placement)
		require.Equal(t, state, i.Status)
	}
}

// TestOwnAbsenceIsNotTakenForAnothers: a root that was stopped, or had no database, gives clusters their time again.
func TestOwnAbsenceIsNotTakenForAnothers(t *testing.T) {
	var l listening
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	require.False(t, l.longerThan(time.Second, at(0)), "it has not looked yet")
	for s := 0; s <= 60; s += 5 {
		l.look(at(s), true)
	}
	require.True(t, l.longerThan(time.Minute-time.Second, at(60)))
	require.False(t, l.longerThan(time.Minute, at(60)))
	require.False(t, l.longerThan(time.Minute, at(100)), "it has not looked of late")
	l.look(at(100), true)
	require.False(t, l.longerThan(time.Minute, at(100)), "it was stopped")
	for s := 100; s <= 200; s += 5 {
		l.look(at(s), s != 150)
	}
	require.False(t, l.longerThan(time.Minute, at(200)), "the database was away")
	require.True(t, l.longerThan(40*time.Second, at(200)))
}

// TestRestoredDatabaseLosesNoCluster: reports of before a long outage say nothing of now.
func TestRestoredDatabaseLosesNoCluster(t *testing.T) {
	l := lose(t)
	_, err := l.pool.Exec(context.Background(), `UPDATE cluster SET reported_at = now() - interval '1 hour'`)
	require.NoError(t, err)
	for range 10 {
		l.root.wakeRetry()
		time.Sleep(50 * time.Millisecond)
		require.EqualValues(t, 1, l.one().Placement, "not within the grace time of a root that has just started")
	}
}
