// SPDX-License-Identifier: Apache-2.0

package root

import (
	"math"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func TestLifeOfAnInstance(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 2)
	service := s.register(s.admin, "app", map[string]any{
		"cmd": []string{"serve"}, "port": "8080:80", "environment": []string{"A=b"},
		"addresses": map[string]string{"rr_ip": "10.30.30.30"},
	})
	empty := c.desired(wire.Stamp{}, 0)
	require.True(t, empty.Full)
	require.Empty(t, empty.Changed)
	require.Len(t, empty.Subnets, 1)
	require.Len(t, empty.Subnets[0].V4, semantic.BlockSubnets)
	require.Equal(t, semantic.DefaultRanges(), empty.Ranges)

	number, state := s.deploy(service)
	require.Equal(t, 0, number)
	require.Equal(t, wire.StateClusterScheduled, state)
	key := wire.InstanceKey{ServiceID: service, Number: 0}

	d := c.desired(empty.Stamp, 0)
	require.False(t, d.Full)
	require.True(t, d.After(empty.Stamp))
	require.Len(t, d.Changed, 1)
	got := d.Changed[0]
	require.Equal(t, key, got.InstanceKey)
	require.EqualValues(t, 1, got.Placement)
	require.Equal(t, "app.test.svc0.test", got.Spec.JobName)
	require.Equal(t, []wire.Port{{Host: 8080, Container: 80, Protocol: "tcp"}}, got.Spec.Ports)
	require.Equal(t, "container", got.Spec.Runtime)
	require.Contains(t, got.Spec.Addresses, wire.ServiceAddress{Policy: wire.PolicyRoundRobin, Address: netip.MustParseAddr("10.30.30.30")})
	require.Len(t, got.Spec.Addresses, 6, "three policies in two families")
	require.True(t, got.Spec.InstanceIP.Is4())
	require.True(t, got.Spec.InstanceIPv6.Is6())

	c.say(key, 1, 1, wire.StateRunning)
	shown := s.ok(http.MethodGet, "/api/service/"+service+"/", nil).(map[string]any)
	require.Equal(t, "RUNNING", shown["status"])
	require.Equal(t, "10.30.30.30", shown["RR_ip"])
	require.Equal(t, map[string]any{"$oid": service}, shown["_id"])
	instance := shown["instance_list"].([]any)[0].(map[string]any)
	require.Equal(t, c.id, instance["cluster_id"])
	require.Equal(t, got.Spec.InstanceIP.String(), instance["instance_ip"])

	// The verdict of a probe is told; a new placement has none yet.
	require.Nil(t, instance["ready"])
	for _, ready := range []bool{false, true} {
		r := c.full(2)
		r.Full = false
		r.Instances = []wire.InstanceReport{{InstanceKey: key, Generation: wire.Generation{Placement: 1, Move: 1}, State: wire.StateRunning, Ready: &ready}}
		c.report(r)
		require.Equal(t, ready, *s.instances(service)[0].Ready)
	}

	// Undeploying leaves a tombstone until the cluster confirms it.
	s.ok(http.MethodDelete, "/api/service/"+service+"/instance/0", nil)
	for range 2 { // told each time until then
		gone := c.desired(d.Stamp, 0)
		require.Empty(t, gone.Changed)
		require.Equal(t, []wire.Tombstone{{InstanceKey: key, Generation: wire.Generation{Placement: 1, Move: math.MaxUint32}}}, gone.Removed)
	}
	require.True(t, s.instances(service)[0].Deleting)
	status, _ := s.call(s.admin, http.MethodDelete, "/api/service/"+service+"/instance/0", nil)
	require.Equal(t, 404, status, "it is being undeployed already")
	c.say(key, 1, 1, wire.StateRunning) // not yet
	require.Len(t, s.instances(service), 1)
	c.say(key, 1, 1, wire.StateUndeployed)
	require.Empty(t, s.instances(service))
	require.Empty(t, c.desired(wire.Stamp{}, 0).Removed)

	// The next one has a new number and, during the quarantine, another address.
	number, _ = s.deploy(service)
	require.Equal(t, 1, number)
	require.NotEqual(t, got.Spec.InstanceIP, c.desired(wire.Stamp{}, 0).Changed[0].Spec.InstanceIP)
}

func TestDeletingAnApplicationEndsEverything(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 2)
	apps := s.ok(http.MethodPost, "/api/application", descriptor("app", map[string]any{}, map[string]any{})).([]any)
	app := apps[0].(map[string]any)
	id := app["applicationID"].(string)
	service := app["microservices"].([]any)[0].(string)
	s.deploy(service)
	s.deploy(service)
	s.ok(http.MethodDelete, "/api/application/"+id, nil)
	for _, path := range []string{"/api/application/" + id, "/api/service/" + service, "/api/services/" + id} {
		status, _ := s.call(s.admin, http.MethodGet, path, nil)
		require.Equal(t, 404, status, path)
	}
	status, _ := s.call(s.admin, http.MethodPost, "/api/service/"+service+"/instance", nil)
	require.Equal(t, 404, status)
	require.Len(t, c.desired(wire.Stamp{}, 0).Removed, 2)
	// The name is free at once; the rows go with the last instance.
	s.register(s.admin, "app", map[string]any{})
	rows := func() (n int) {
		require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT count(*) FROM application WHERE id = $1`, id).Scan(&n))
		return n
	}
	c.say(wire.InstanceKey{ServiceID: service, Number: 0}, 1, 1, wire.StateUndeployed)
	require.Equal(t, 1, rows())
	c.say(wire.InstanceKey{ServiceID: service, Number: 1}, 1, 1, wire.StateUndeployed)
	require.Zero(t, rows())
	var leaked int
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT count(*) FROM address WHERE released_at IS NULL`).Scan(&leaked))
	require.Equal(t, 6, leaked, "of the new application's service")
}

func TestUnplacedInstanceGetsItsPlaceWithCapacity(t *testing.T) {
	s := start(t)
	service := s.register(s.admin, "app", map[string]any{"vcpus": 3})
	_, state := s.deploy(service)
	require.Equal(t, wire.StateNoActiveCluster, state)
	require.Equal(t, "no cluster has joined yet", s.instances(service)[0].StatusDetail)
	c := s.joinWith("c1", 0)
	require.Eventually(t, func() bool { return strings.Contains(s.instances(service)[0].StatusDetail, "has no worker") },
		5*time.Second, 20*time.Millisecond)
	c.report(c.full(1))
	require.Eventually(t, func() bool { return s.instances(service)[0].Status == wire.StateClusterScheduled }, 5*time.Second, 20*time.Millisecond)

	// What root has given away since the report is reserved: 4 processors less 3 do not hold another 3.
	_, state = s.deploy(service)
	require.Equal(t, wire.StateNoActiveCluster, state)
	require.Contains(t, s.instances(service)[1].StatusDetail, "vCPU")
	// One that was never given to a cluster is gone at once.
	s.ok(http.MethodDelete, "/api/service/"+service+"/instance/1", nil)
	require.Len(t, s.instances(service), 1)
}

func TestInstancesSpreadWithoutOvercommitting(t *testing.T) {
	s := start(t)
	a, b := s.joinWith("a", 2), s.joinWith("b", 2)
	service := s.register(s.admin, "app", map[string]any{"vcpus": 2})
	// 16 processors in all: eight instances of two, asked for at once, and not one more.
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			status, _, err := request(http.DefaultClient, s.admin, http.MethodPost, s.plain+"/api/service/"+service+"/instance", nil)
			if err != nil || status != 200 {
				t.Errorf("deploy: %d, %v", status, err)
			}
		})
	}
	wg.Wait()
	placed, ips, numbers := map[string]int{}, map[netip.Addr]bool{}, map[int]bool{}
	for _, i := range s.instances(service) {
		placed[i.ClusterID]++
		ips[i.InstanceIP], ips[i.InstanceIPv6], numbers[i.Number] = true, true, true
	}
	require.Equal(t, map[string]int{a.id: 4, b.id: 4, "": 4}, placed)
	require.Len(t, ips, 24)
	require.Len(t, numbers, 12)
}

func TestBlockingQuery(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 1)
	service := s.register(s.admin, "app", map[string]any{})
	now := c.desired(wire.Stamp{}, 0).Stamp

	begin := time.Now()
	d := c.desired(now, 300*time.Millisecond)
	require.GreaterOrEqual(t, time.Since(begin), 300*time.Millisecond, "it waits while nothing changes")
	require.Equal(t, now, d.Stamp)
	require.False(t, d.Full)
	require.Empty(t, d.Changed)

	done := make(chan *wire.ClusterDesired, 1)
	go func() { done <- c.desired(now, 20*time.Second) }()
	time.Sleep(100 * time.Millisecond)
	begin = time.Now()
	s.deploy(service)
	d = <-done
	require.Less(t, time.Since(begin), 900*time.Millisecond, "a hint comes before the poll")
	require.Len(t, d.Changed, 1)

	require.True(t, c.desired(wire.Stamp{Epoch: now.Epoch, Revision: 999}, 0).Full, "a revision of the future")
	require.True(t, c.desired(wire.Stamp{Epoch: now.Epoch - 1, Revision: now.Revision}, 0).Full, "a foreign epoch")
}
