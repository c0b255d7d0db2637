// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/lifecycle"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

func TestJoin(t *testing.T) {
	s := start(t)
	key, err := pki.NewKey()
	require.NoError(t, err)
	csr, err := pki.NewCSR(key)
	require.NoError(t, err)
	join := func(token string, req wire.ClusterJoinRequest) (int, map[string]any) {
		status, body, err := request(s.pinned(), token, http.MethodPost, s.tls+wire.PathClusterJoin, req)
		require.NoError(t, err)
		return status, body.(map[string]any)
	}
	good := wire.ClusterJoinRequest{Format: wire.Format, CSR: string(csr), Name: "c1"}
	token := s.newToken(1)
	for name, change := range map[string]func(*wire.ClusterJoinRequest){
		"$.name":   func(r *wire.ClusterJoinRequest) { r.Name = "../x" },
		"$.csr":    func(r *wire.ClusterJoinRequest) { r.CSR = "junk" },
		"$.format": func(r *wire.ClusterJoinRequest) { r.Format = 99 },
	} {
		bad := good
		change(&bad)
		status, body := join(token, bad)
		require.Equal(t, 422, status, name)
		require.Equal(t, name, body["path"])
	}
	status, _ := join("oak1.junk", good)
	require.Equal(t, 401, status)
	status, _ = join("", good)
	require.Equal(t, 401, status)

	status, first := join(token, good)
	require.Equal(t, 200, status, first)
	// The answer was lost: the same key gets the same id, although the token is used up.
	status, again := join(token, good)
	require.Equal(t, 200, status, again)
	require.Equal(t, first["id"], again["id"])
	// Anybody else needs a token, and another name.
	other, err := pki.NewKey()
	require.NoError(t, err)
	csr, err = pki.NewCSR(other)
	require.NoError(t, err)
	good.CSR = string(csr)
	status, _ = join(token, good)
	require.Equal(t, 401, status)
	status, body := join(s.newToken(1), good)
	require.Equal(t, 409, status)
	require.Contains(t, body["detail"], first["id"])

	// A cluster without anything can be removed; its subnets return.
	s.ok(http.MethodDelete, "/api/v1/clusters/"+first["id"].(string), nil)
	status, _ = join(s.newToken(1), good)
	require.Equal(t, 200, status)
}

func TestGenerationsFence(t *testing.T) {
	url := pgtest.New(t)
	s := startOn(t, url, semantic.DefaultRanges())
	a := s.joinWith("a", 4)
	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	key := wire.InstanceKey{ServiceID: service}
	one := func() instanceJSON { return s.instances(service)[0] }

	a.say(key, 1, 2, wire.StateRunning)
	a.say(key, 1, 1, wire.StateDead) // an older move
	require.Equal(t, wire.StateRunning, one().Status)
	a.say(key, 0, 9, wire.StateDead) // an older placement
	require.Equal(t, wire.StateRunning, one().Status)
	late := a.full(1)
	late.Header = wire.NewHeader(wire.Stamp{Epoch: 1, Revision: 1})
	late.Instances = []wire.InstanceReport{{InstanceKey: key, Generation: wire.Generation{Placement: 1, Move: 3}, State: wire.StateDead}}
	require.Equal(t, 409, a.send(http.MethodPost, a.url(wire.PathClusterReport), late, nil))
	require.Equal(t, wire.StateRunning, one().Status)

	// Cluster b reports what it was never given.
	b := s.joinWith("b", 4)
	b.say(key, 1, 7, wire.StateRunning)
	require.Equal(t, a.id, one().ClusterID)
	require.Len(t, b.desired(wire.Stamp{}, 0).Removed, 1)
	// A placement newer than root's in the first full report after a start: the database was restored, and that is the truth.
	s.stop()
	s = startOn(t, url, semantic.DefaultRanges())
	a.s, b.s = s, s
	restored := b.full(4)
	restored.Instances = []wire.InstanceReport{{InstanceKey: key, Generation: wire.Generation{Placement: 5, Move: 1}, State: wire.StateRunning}}
	b.report(restored)
	require.Equal(t, b.id, one().ClusterID)
	require.EqualValues(t, 5, one().Placement)
	require.Len(t, a.desired(wire.Stamp{}, 0).Removed, 1, "the older copy stops")
	// Instances that root does not know are let alone.
	a.say(wire.InstanceKey{ServiceID: pki.NewID()}, 1, 1, wire.StateRunning)
	require.Len(t, a.desired(wire.Stamp{}, 0).Removed, 1)
}

func TestWhatAClusterCannotPlaceGoesToTheNext(t *testing.T) {
	s := start(t)
	a := s.joinWith("a", 4)
	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	key := wire.InstanceKey{ServiceID: service}
	a.say(key, 1, 0, wire.StateNoWorkerCapacity)
	require.Equal(t, wire.StateNoWorkerCapacity, s.instances(service)[0].Status, "it is shown")
	b := s.joinWith("b", 4)
	_, err := s.pool.Exec(t.Context(), `UPDATE instance SET next_attempt = now()`) // in place of waiting for 5 s
	require.NoError(t, err)
	b.report(b.full(4))
	require.Eventually(t, func() bool { return s.instances(service)[0].ClusterID == b.id }, 5*time.Second, 20*time.Millisecond)
	d := b.desired(wire.Stamp{}, 0)
	require.Len(t, d.Changed, 1)
	require.EqualValues(t, 2, d.Changed[0].Placement)
	require.EqualValues(t, 1, a.desired(wire.Stamp{}, 0).Removed[0].Generation.Placement)
	b.say(key, 2, 1, wire.StateRunning)
	a.say(key, 1, 0, wire.StateUndeployed)
	require.Empty(t, a.desired(wire.Stamp{}, 0).Removed)
	require.Equal(t, wire.StateRunning, s.instances(service)[0].Status)
}

func TestClusterThatSaysNothingIsNotWaitedFor(t *testing.T) {
	s := start(t)
	a := s.joinWith("a", 4)
	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	s.deploy(service)
	a.say(wire.InstanceKey{ServiceID: service, Number: 1}, 1, 0, wire.StateClusterScheduled) // of this one it does
	b := s.joinWith("b", 4)
	given := func() (clusters []string) {
		for _, i := range s.instances(service) {
			clusters = append(clusters, i.ClusterName)
		}
		return clusters
	}
	age := func(by time.Duration) {
		_, err := s.pool.Exec(t.Context(), `UPDATE instance SET next_attempt = now(), placed_at = placed_at - $1::interval, reported_at = reported_at - $1::interval`, by)
		require.NoError(t, err)
		b.report(b.full(4)) // has root look
	}
	age(lifecycle.AnswerWithin / 2)
	require.Never(t, func() bool { return slices.Contains(given(), "b") }, 500*time.Millisecond, 50*time.Millisecond)
	age(lifecycle.AnswerWithin / 2)
	require.Eventually(t, func() bool { return slices.Equal(given(), []string{"b", "a"}) }, 10*time.Second, 20*time.Millisecond)
	require.Len(t, a.desired(wire.Stamp{}, 0).Removed, 1, "and it does not come back with it")
	events, _ := s.told(service, "?instance=0")
	require.Equal(t, "CLUSTER_SCHEDULED b", events[len(events)-1])
}

func TestWhatIsOverIsNotBelievedToGoOn(t *testing.T) {
	s := start(t)
	c := s.joinWith("c", 4)
	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	key := wire.InstanceKey{ServiceID: service}
	for _, over := range []wire.State{wire.StateCompleted, wire.StateDead} {
		move := uint32(s.instances(service)[0].Move) + 1
		c.say(key, 1, move, wire.StateRunning)
		c.say(key, 1, move, over)
		c.say(key, 1, move, wire.StateRunning)
		require.Equal(t, over, s.instances(service)[0].Status)
	}
	c.say(key, 1, 9, wire.StateRunning) // another copy
	require.Equal(t, wire.StateRunning, s.instances(service)[0].Status)
}

func TestSubnetsAreRenewedOnce(t *testing.T) {
	ranges := semantic.DefaultRanges()
	ranges.WorkersV4 = netip.MustParsePrefix("10.18.0.0/21") // two blocks
	s := startOn(t, pgtest.New(t), ranges)
	c := s.join("c1")
	report := func(applied wire.Stamp, free int) {
		r := c.full(1)
		r.Applied, r.FreeSubnets = applied, free
		c.report(r)
	}
	first := c.desired(wire.Stamp{}, 0)
	report(first.Stamp, 4)
	require.Len(t, c.desired(wire.Stamp{}, 0).Subnets, 1)
	report(first.Stamp, 3)
	second := c.desired(first.Stamp, time.Second)
	require.True(t, second.After(first.Stamp))
	require.Len(t, second.Subnets, 2)
	report(first.Stamp, 3) // it has not seen the second block yet
	report(second.Stamp, 19)
	require.Len(t, c.desired(wire.Stamp{}, 0).Subnets, 2)
	report(second.Stamp, 0) // none left: the report counts all the same
	require.Len(t, c.desired(wire.Stamp{}, 0).Subnets, 2)
}

// A cluster whose workers come all at once is leased what they take, a few times over until they are all there.
func TestSubnetsAreLeasedByDemand(t *testing.T) {
	s := startOn(t, pgtest.New(t), semantic.DefaultRanges())
	c := s.join("c1")
	report := func(free, wanted int) int {
		r := c.full(1)
		r.Applied, r.FreeSubnets, r.WantedSubnets = c.desired(wire.Stamp{}, 0).Stamp, free, wanted
		c.report(r)
		return len(c.desired(wire.Stamp{}, 0).Subnets)
	}
	require.Equal(t, 1, report(10, 10))
	require.Equal(t, 3, report(2, 20), "18 more are two blocks")
	require.Equal(t, 10, report(0, 100))
	require.Equal(t, 26, report(0, 1<<30), "no more than so many at once")
	require.Equal(t, 27, report(0, -5))
	for range 3 {
		report(0, 1<<30)
	}
	require.Equal(t, 64, report(0, 1<<30), "all that there are")
}

func TestEpochs(t *testing.T) {
	url := pgtest.New(t)
	s := startOn(t, url, semantic.DefaultRanges())
	c := s.joinWith("c1", 1)
	before := c.desired(wire.Stamp{}, 0).Stamp
	require.False(t, c.report(wire.ClusterReport{FreeSubnets: 16, Applied: before}).SendFull)

	// The next root process on the same database: everything is sent and asked for again.
	s.stop()
	again := startOn(t, url, semantic.DefaultRanges())
	c.s = again
	d := c.desired(before, 0)
	require.Greater(t, d.Epoch, before.Epoch)
	require.True(t, d.Full)
	require.True(t, c.report(wire.ClusterReport{FreeSubnets: 16, Applied: before}).SendFull)
	require.False(t, c.report(c.full(1)).SendFull)

	// A cluster that has seen a higher epoch, as after a restore of root's database, is overruled.
	r := c.full(1)
	r.Applied = wire.Stamp{Epoch: d.Epoch + 5000, Revision: 77}
	require.Greater(t, c.report(r).Epoch, d.Epoch+5000)
	r.Applied.Epoch = uint64(time.Now().Add(48 * time.Hour).UnixMilli())
	r.Header = wire.NewHeader(wire.Stamp{Epoch: 1, Revision: 1000})
	require.Equal(t, 422, c.send(http.MethodPost, c.url(wire.PathClusterReport), r, nil))
}

func TestDeadClusterCanBeRemoved(t *testing.T) {
	s := start(t)
	dead := s.joinWith("dead", 4)
	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	s.deploy(service)
	s.ok(http.MethodDelete, "/api/service/"+service+"/instance/1", nil)
	alive := s.joinWith("alive", 4)
	status, body := s.call(s.admin, http.MethodDelete, "/api/v1/clusters/"+dead.id, nil)
	require.Equal(t, 409, status)
	require.Contains(t, body.(map[string]any)["detail"], "?force=true")
	s.ok(http.MethodDelete, "/api/v1/clusters/"+dead.id+"?force=true", nil)
	require.Eventually(t, func() bool {
		list := s.instances(service)
		return len(list) == 1 && list[0].ClusterID == alive.id && list[0].Placement == 2
	}, 5*time.Second, 20*time.Millisecond)
	require.Equal(t, 404, dead.send(http.MethodGet, dead.url(wire.PathClusterDesired), nil, nil))
}
