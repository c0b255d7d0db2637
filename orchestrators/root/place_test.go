// SPDX-License-Identifier: Apache-2.0

package root

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

// at returns the cluster of the service's one instance, and its placement.
func (s *system) at(service string) (cluster string, placement int64) {
	s.t.Helper()
	require.NoError(s.t, s.pool.QueryRow(s.t.Context(), `SELECT coalesce(cluster_id, ''), placement FROM instance WHERE service_id = $1`, service).
		Scan(&cluster, &placement))
	return cluster, placement
}

// explained returns what root and the cluster have said of an instance.
func (s *system) explained(service string) (root, cluster *wire.Explanation) {
	s.t.Helper()
	require.NoError(s.t, s.pool.QueryRow(s.t.Context(), `SELECT root_explanation, cluster_explanation FROM instance WHERE service_id = $1`, service).
		Scan(&root, &cluster))
	return root, cluster
}

// Of three clusters, two of which cannot place an instance, the third is asked: it does not go to and fro between the first two. Once all
// have refused it stays, until capacity appears in one of them.
func TestEveryClusterIsAskedAndAgainOnceItHasGained(t *testing.T) {
	s := start(t)
	clusters := map[string]*fakeCluster{}
	gains := map[string]uint64{}
	report := func(c *fakeCluster, instances ...wire.InstanceReport) {
		r := c.full(4)
		r.Full, r.Aggregate.Gains, r.Instances = len(instances) == 0, gains[c.id], instances
		c.report(r)
	}
	for _, name := range []string{"a", "b", "c"} {
		c := s.joinWith(name, 4)
		clusters[c.id] = c
		gains[c.id] = 7
		report(c)
	}
	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	refused := map[string]bool{}
	refuse := func() (by string) {
		id, placement := s.at(service)
		require.NotEmpty(t, id)
		refused[id] = true
		report(clusters[id], wire.InstanceReport{InstanceKey: wire.InstanceKey{ServiceID: service}, Detail: "no worker has two legs",
			Generation: wire.Generation{Placement: uint32(placement)}, State: wire.StateNoQualifiedWorker,
			Scheduling: &wire.Explanation{Tier: "nonsense", Candidates: 4, Refusals: []wire.RefusalCount{{Reason: "direct", Kind: wire.RefusalUnqualified, Count: 4}}}})
		return id
	}
	for n := range 2 {
		from := refuse()
		require.Eventually(t, func() bool { id, _ := s.at(service); return id != from }, 15*time.Second, 20*time.Millisecond)
		require.Len(t, refused, n+1)
		id, placement := s.at(service)
		require.False(t, refused[id], "it has refused already")
		require.EqualValues(t, n+2, placement)
	}
	last := refuse()
	require.Len(t, refused, 3)
	require.Eventually(t, func() bool {
		root, _ := s.explained(service)
		return root.Chosen == nil
	}, 15*time.Second, 20*time.Millisecond)
	root, cluster := s.explained(service)
	require.Equal(t, []wire.RefusalCount{{Reason: "excluded", Kind: wire.RefusalUnavailable, Count: 3}}, root.Refusals)
	require.Contains(t, root.String(), "could not place it on any of its workers: no worker has two legs")
	require.Equal(t, wire.TierCluster, cluster.Tier)
	require.Equal(t, 4, cluster.Refusals[0].Count)
	// What was refused long enough ago counts until something appears in that cluster.
	_, err := s.pool.Exec(t.Context(), `UPDATE instance SET refusals = (SELECT jsonb_object_agg(key, jsonb_set(value, '{at}', to_jsonb(now() - $1::interval)))
		FROM jsonb_each(refusals)), next_attempt = now() + interval '1 hour'`, refusalLeast)
	require.NoError(t, err)
	for id, c := range clusters {
		if id != last {
			report(c)
		}
	}
	require.Never(t, func() bool { id, _ := s.at(service); return id != last }, 600*time.Millisecond, 50*time.Millisecond)
	var gained *fakeCluster
	for id, c := range clusters {
		if id != last {
			gained = c
		}
	}
	gains[gained.id]++
	report(gained)
	require.Eventually(t, func() bool { id, _ := s.at(service); return id == gained.id }, 15*time.Second, 20*time.Millisecond)
}

// What no cluster has room for is placed when one has, without being asked for again, and each time it is told why.
func TestWhatWaitsIsPlacedWhenCapacityAppears(t *testing.T) {
	s := start(t)
	c := s.joinWith("a", 1)
	service := s.register(s.admin, "app", map[string]any{"vcpus": 3, "bandwidth_in": 100})
	s.deploy(service)
	root, _ := s.explained(service)
	require.Nil(t, root.Chosen)
	require.Contains(t, root.String(), "a: does not tell the speed of its uplink")
	r := c.full(1)
	g := &r.Aggregate.Groups[0]
	g.Capacity.BandwidthIn, g.Free.BandwidthIn, g.Slots = 1000, 1000, []wire.Slot{{VCPUs: 2, MemoryMB: 4096, BandwidthIn: 1000}, {VCPUs: 4, MemoryMB: 50, BandwidthIn: 1000}}
	c.report(r)
	require.Eventually(t, func() bool { root, _ := s.explained(service); return root.Kind() == wire.RefusalFull }, 15*time.Second, 20*time.Millisecond)
	root, _ = s.explained(service)
	require.Contains(t, root.String(), "a: no single worker has that much free: needs 3 vCPU, 100 MiB of memory, 100 kbit/s in")
	g.Slots = append(g.Slots, wire.Slot{VCPUs: 3, MemoryMB: 100, BandwidthIn: 100})
	c.report(r)
	require.Eventually(t, func() bool { id, _ := s.at(service); return id == c.id }, 15*time.Second, 20*time.Millisecond)
	root, _ = s.explained(service)
	require.Equal(t, "a", root.Chosen.Name)
	require.Equal(t, wire.TierRoot, root.Tier)
}

// A burst is placed in one pass, evenly, and no cluster is given more than it has.
func TestABurstIsPlacedAtOnceAndEvenly(t *testing.T) {
	const clusters, instances = 4, 1000
	s := start(t)
	for n := range clusters {
		s.joinWith(fmt.Sprint("c", n), 62) // 248 processors each
	}
	service := s.register(s.admin, "app", map[string]any{"memory": 10})
	begin := time.Now()
	var placed time.Duration
	err := s.root.placing(t.Context(), func(tx pgx.Tx) error {
		var list []*instanceRow
		for range instances {
			n, err := s.root.insertInstance(t.Context(), tx, service)
			if err != nil {
				return err
			}
			i, err := loadInstance(t.Context(), tx, wire.InstanceKey{ServiceID: service, Number: n})
			if err != nil {
				return err
			}
			list = append(list, i)
		}
		view, err := s.root.loadClusters(t.Context(), tx)
		if err != nil {
			return err
		}
		start := time.Now()
		err = s.root.placeAll(t.Context(), tx, list, view)
		placed = time.Since(start)
		return err
	})
	require.NoError(t, err)
	t.Logf("%d instances stored in %s, of which placed in %s", instances, time.Since(begin), placed)
	rows, err := s.pool.Query(t.Context(), `SELECT count(*) FROM instance WHERE state = 'CLUSTER_SCHEDULED' GROUP BY cluster_id`)
	require.NoError(t, err)
	counts, err := pgx.CollectRows(rows, pgx.RowTo[int])
	require.NoError(t, err)
	require.Equal(t, []int{248, 248, 248, 248}, counts, "all that they have, and no more")
	var waiting int
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT count(*) FROM instance WHERE cluster_id IS NULL AND state = $1`, wire.StateNoActiveCluster).Scan(&waiting))
	require.Equal(t, 8, waiting)
}

// A service that has to be near to another goes where that one runs, and is told where to look for it.
func TestServicesAreNearToOneAnother(t *testing.T) {
	s := start(t)
	var clusters []*fakeCluster
	for n, at := range []wire.Location{{Latitude: 48.1, Longitude: 11.6}, {Latitude: 52.5, Longitude: 13.4}, {Latitude: 41.9, Longitude: 12.5}} {
		c := s.join(fmt.Sprint("c", n))
		r := c.full(4)
		r.Aggregate.Where = wire.Point{Location: &at, RadiusKM: 10}
		c.report(r)
		clusters = append(clusters, c)
	}
	db := s.register(s.admin, "base", map[string]any{"microservice_name": "db", "constraints": []any{map[string]any{"type": "direct", "cluster": "c1"}}})
	far := s.register(s.admin, "far", map[string]any{"constraints": []any{map[string]any{"type": "geo", "location": "12.5;41.9", "threshold": 100}}})
	near := func(threshold float64) map[string]any {
		return map[string]any{"connectivity": []any{map[string]any{"target_microservice_id": db,
			"con_constraints": []any{map[string]any{"type": "latency", "threshold": threshold}}}}}
	}
	s.deploy(db)
	s.deploy(far)
	id, _ := s.at(far)
	require.Equal(t, clusters[2].id, id)
	same := s.register(s.admin, "same", near(1))
	s.deploy(same)
	id, _ = s.at(same)
	require.Equal(t, clusters[1].id, id)
	d := clusters[1].desired(wire.Stamp{}, 0)
	require.Equal(t, []wire.Proximity{{Kind: wire.ProximityLatency, Threshold: 1, Name: "db", Service: db}}, d.Changed[1].Spec.Near, "the cluster knows its own")
	// Kept out of there, it goes to the nearest of the others, and is told where the target is.
	other := near(20)
	other["constraints"] = []any{map[string]any{"type": "clusters", "denied": []any{"c1"}}}
	beside := s.register(s.admin, "beside", other)
	s.deploy(beside)
	id, _ = s.at(beside)
	require.Equal(t, clusters[0].id, id)
	d = clusters[0].desired(wire.Stamp{}, 0)
	require.Equal(t, clusters[1].id, d.Changed[0].Spec.Near[0].Points[0].Cluster)
	// No light is that fast.
	other = near(2)
	other["constraints"] = []any{map[string]any{"type": "clusters", "denied": []any{"c1"}}}
	none := s.register(s.admin, "none", other)
	_, status := s.deploy(none)
	require.Equal(t, wire.StateNoActiveCluster, status)
	root, _ := s.explained(none)
	require.Contains(t, root.String(), "ms from db (at least, by the distance), the service allows 2.00")
	// What is of another organisation is not known.
	s.ok(http.MethodPost, "/api/organization/", map[string]any{"name": "others"})
	token, _ := s.member("others", "eve", users.RoleApplicationProvider)
	spy := s.register(token, "spy", near(100))
	s.call(token, http.MethodPost, "/api/service/"+spy+"/instance", nil)
	root, _ = s.explained(spy)
	require.Contains(t, root.String(), "is not known")
}

// Constraints of an application hold for all its services.
func TestConstraintsOfAnApplicationHoldForItsServices(t *testing.T) {
	s := start(t)
	s.joinWith("a", 4)
	b := s.joinWith("b", 4)
	doc := descriptor("app", map[string]any{}, map[string]any{})
	doc["applications"].([]any)[0].(map[string]any)["constraints"] = []any{map[string]any{"type": "clusters", "allowed": []any{"b"}}}
	list := s.ok(http.MethodPost, "/api/application/", doc).([]any)
	for _, id := range list[0].(map[string]any)["microservices"].([]any) {
		for range 2 {
			s.deploy(id.(string))
		}
		for _, i := range s.instances(id.(string)) {
			require.Equal(t, b.id, i.ClusterID)
		}
	}
}

func TestPrivilegedServicesTakeARole(t *testing.T) {
	s := start(t)
	s.joinWith("a", 4)
	privileged := descriptor("app", map[string]any{"privileged": true})
	for _, role := range []string{users.RoleApplicationProvider, users.RoleOrganizationAdmin} {
		token, _ := s.member("root", "user"+role[:3], role)
		answer := s.wants(403, token, http.MethodPost, "/api/application/", privileged)
		require.Equal(t, "privileged_not_allowed", answer["code"])
		require.Equal(t, "$.applications[0].microservices[0].privileged", answer["path"])
		service := s.register(token, "plain"+role[:3], map[string]any{})
		answer = s.wants(403, token, http.MethodPut, "/api/service/"+service, map[string]any{"microservice_name": "svc0", "microservice_namespace": "test",
			"virtualization": "container", "code": "registry.example/app:1", "privileged": true})
		require.Equal(t, "$.privileged", answer["path"])
		// Nor by way of the application: neither one that is there, nor one that is added.
		application := s.ok(http.MethodGet, "/api/service/"+service, nil).(map[string]any)["applicationID"].(string)
		for _, name := range []string{"svc0", "another"} {
			answer = s.wants(403, token, http.MethodPut, "/api/application/"+application, map[string]any{"microservices": []any{map[string]any{
				"microservice_name": name, "microservice_namespace": "test", "virtualization": "container", "code": "registry.example/app:1", "privileged": true}}})
			require.Equal(t, "$.microservices[0].privileged", answer["path"], name)
		}
	}
	token, _ := s.member("root", "owner", users.RoleInfrastructureProvider)
	status, body := s.call(token, http.MethodPost, "/api/application/", privileged)
	require.Equal(t, 200, status, body)
	admin, _ := s.member("root", "boss", users.RoleOrganizationAdmin)
	s.wants(403, admin, http.MethodPost, "/api/auth/register", map[string]any{"name": "mole", "password": password, "organization_name": "root",
		"roles": []any{users.RoleInfrastructureProvider}})
}

// A cluster's explanation is cut down to what is one.
func TestExplanationsOfClustersAreBounded(t *testing.T) {
	e := wire.Explanation{Tier: "x", At: time.Now().AddDate(100, 0, 0), Notes: make([]string, 10_000), Rejections: make([]wire.Rejection, 10_000),
		Refusals: make([]wire.RefusalCount, 10_000), Chosen: &wire.ExplainedChoice{Name: string(make([]byte, 1<<20))}}
	e.Rejections[0].Detail = string(make([]byte, 1<<20))
	cleanExplanation(&e)
	text, err := json.Marshal(e)
	require.NoError(t, err)
	require.Less(t, len(text), 64<<10)
	require.Equal(t, wire.TierCluster, e.Tier)
}
