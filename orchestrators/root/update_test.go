// SPDX-License-Identifier: Apache-2.0

package root

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// rollout returns how a change of a service stands.
func (s *system) rollout(service string) (out rolloutJSON) {
	s.t.Helper()
	text, err := json.Marshal(s.ok(http.MethodGet, "/api/v1/service/"+service+"/rollout", nil))
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal(text, &out))
	return out
}

// kinds are those of the events of a service.
func (o rolloutJSON) kinds() (list []string) {
	for _, e := range o.Events {
		list = append(list, e.Kind)
	}
	return list
}

// put sends a new descriptor of svc0.
func (s *system) put(service string, fields map[string]any) (int, map[string]any) {
	s.t.Helper()
	m := map[string]any{
		"microservice_name": "svc0", "microservice_namespace": "test", "virtualization": "container", "code": "registry.example/app:1", "memory": 100, "vcpus": 1,
	}
	maps.Copy(m, fields)
	status, body := s.call(s.admin, http.MethodPut, "/api/service/"+service, m)
	return status, body.(map[string]any)
}

// obey has the cluster run everything that it is told to, as ready as verdict says, and stop what it is told to, once. It returns the
// images by instance number.
func (c *fakeCluster) obey(verdict func(wire.ClusterInstance) (wire.State, bool)) map[int]string {
	c.s.t.Helper()
	d := c.desired(wire.Stamp{}, 0)
	r := c.full(16)
	r.Full = false
	images := map[int]string{}
	for _, t := range d.Removed {
		r.Instances = append(r.Instances, wire.InstanceReport{InstanceKey: t.InstanceKey, Generation: t.Generation, State: wire.StateUndeployed})
	}
	for _, i := range d.Changed {
		state, ready := verdict(i)
		images[i.Number] = i.Spec.Image
		r.Instances = append(r.Instances, wire.InstanceReport{InstanceKey: i.InstanceKey, Generation: wire.Generation{Placement: i.Placement, Move: 1},
			State: state, Ready: &ready, Since: time.Now()})
	}
	c.report(r)
	return images
}

func fine(wire.ClusterInstance) (wire.State, bool) { return wire.StateRunning, true }

// until has the cluster obey until the condition holds.
func (c *fakeCluster) until(verdict func(wire.ClusterInstance) (wire.State, bool), what string, ok func() bool) {
	c.s.t.Helper()
	require.Eventually(c.s.t, func() bool { c.obey(verdict); return ok() }, 20*time.Second, 20*time.Millisecond, what)
}

func TestReplicasAreKept(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 16)
	service := s.register(s.admin, "app", map[string]any{"replicas": 3, "memory": 1})
	count := func(n int) func() bool {
		return func() bool {
			list := slices.DeleteFunc(s.instances(service), func(i instanceJSON) bool { return i.Deleting || i.Status != wire.StateRunning })
			return len(list) == n && len(s.instances(service)) == n
		}
	}
	c.until(fine, "three run", count(3))
	for _, n := range []int{5, 1, 4} {
		for _, method := range []string{http.MethodPut, http.MethodPost} {
			s.ok(method, "/api/v1/service/"+service+"/scale", map[string]any{"replicas": n})
		}
		c.until(fine, "scaled", count(n))
		require.EqualValues(t, n, s.ok(http.MethodGet, "/api/service/"+service, nil).(map[string]any)["replicas"])
	}
	// One more or less by hand is meant to last.
	s.deploy(service)
	c.until(fine, "one more", count(5))
	s.ok(http.MethodDelete, "/api/service/"+service+"/instance/0", nil)
	c.until(fine, "one less", count(4))
	require.EqualValues(t, 4, *s.rollout(service).Replicas)
	// A row that goes without anybody wanting it is replaced.
	_, err := s.pool.Exec(t.Context(), `DELETE FROM instance WHERE service_id = $1 AND number = (SELECT max(number) FROM instance)`, service)
	require.NoError(t, err)
	c.until(fine, "replaced", count(4))
	s.ok(http.MethodDelete, "/api/service/"+service+"/instance/-1", nil)
	c.until(fine, "none", count(0))
	require.Zero(t, *s.rollout(service).Replicas)

	for _, bad := range []any{map[string]any{}, map[string]any{"replicas": -1}, map[string]any{"replicas": 100000}, map[string]any{"replicas": 1.5}} {
		status, body := s.call(s.admin, http.MethodPut, "/api/v1/service/"+service+"/scale", bad)
		require.Equal(t, 422, status, body)
		require.Equal(t, "$.replicas", body.(map[string]any)["path"])
	}
	status, body := s.call(s.admin, http.MethodPost, "/api/application", descriptor("many", map[string]any{"replicas": 100000}))
	require.Equal(t, 422, status, body)
}

func TestReplicasWaitForAddresses(t *testing.T) {
	s := start(t)
	s.joinWith("c1", 16)
	service := s.register(s.admin, "app", map[string]any{})
	_, err := s.pool.Exec(t.Context(), `UPDATE pool SET next = 4000000000 WHERE name = 'services-v4'`)
	require.NoError(t, err)
	s.ok(http.MethodPut, "/api/v1/service/"+service+"/scale", map[string]any{"replicas": 2})
	require.Eventually(t, func() bool { return s.rollout(service).Problem != "" }, 10*time.Second, 20*time.Millisecond)
	require.Contains(t, s.rollout(service).Problem, "is full")
	require.Empty(t, s.instances(service))
	_, err = s.pool.Exec(t.Context(), `UPDATE pool SET next = 100 WHERE name = 'services-v4'`)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(s.instances(service)) == 2 }, 30*time.Second, 50*time.Millisecond)
	require.Empty(t, s.rollout(service).Problem)
}

func TestRollingUpdate(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 16)
	fields := map[string]any{"replicas": 3, "readiness_probe": map[string]any{"tcp": map[string]any{"port": 80}}}
	service := s.register(s.admin, "app", fields)
	run := func() bool { o := s.rollout(service); return o.Available == 3 && o.Updated == 3 }
	c.until(fine, "three run", run)
	ips := map[int]string{}
	for _, i := range s.instances(service) {
		ips[i.Number] = i.InstanceIP.String()
	}

	fields["code"] = "registry.example/app:2"
	status, body := s.put(service, fields)
	require.Equal(t, 200, status, body)
	require.EqualValues(t, 2, body["revision"])
	require.Equal(t, true, body["changed"])
	least := 3
	c.until(func(i wire.ClusterInstance) (wire.State, bool) {
		if i.Spec.Revision == 2 {
			least = min(least, s.rollout(service).Available)
		}
		return fine(i)
	}, "the rollout completes", func() bool { return s.rollout(service).State == rolloutComplete })
	require.GreaterOrEqual(t, least, 2, "one at a time")
	for number, image := range c.obey(fine) {
		require.Equal(t, "registry.example/app:2", image, number)
	}
	for _, i := range s.instances(service) {
		require.Equal(t, ips[i.Number], i.InstanceIP.String(), "an address is for life")
		require.EqualValues(t, 2, i.Placement)
	}
	require.Equal(t, []string{eventRevision, eventRollout, eventComplete}, s.rollout(service).kinds())

	// The same again is no change; labels alone stop nothing; a number alone is no revision.
	_, body = s.put(service, fields)
	require.Equal(t, false, body["changed"])
	fields["labels"] = map[string]any{"tier": "front"}
	_, body = s.put(service, fields)
	require.EqualValues(t, 3, body["revision"])
	c.until(fine, "labelled", func() bool { return s.rollout(service).State == rolloutComplete })
	for _, i := range c.desired(wire.Stamp{}, 0).Changed {
		require.EqualValues(t, 2, i.Placement)
		require.Equal(t, map[string]string{"tier": "front"}, i.Spec.Labels)
	}
	fields["replicas"] = 2
	_, body = s.put(service, fields)
	require.EqualValues(t, 3, body["revision"])
	require.Equal(t, true, body["changed"])
	c.until(fine, "scaled", func() bool { return s.rollout(service).Instances == 2 })

	// What was shown may be sent back.
	shown := s.ok(http.MethodGet, "/api/service/"+service, nil)
	status, answer := s.call(s.admin, http.MethodPut, "/api/service/"+service, shown)
	require.Equal(t, 200, status, answer)
	require.Equal(t, false, answer.(map[string]any)["changed"])

	// Back by hand: the number of instances stays.
	s.ok(http.MethodPost, "/api/v1/service/"+service+"/rollback", map[string]any{"revision": 1})
	c.until(fine, "back", func() bool { o := s.rollout(service); return o.Revision == 4 && o.State == rolloutComplete })
	require.Equal(t, map[int]string{0: "registry.example/app:1", 1: "registry.example/app:1"}, c.obey(fine))
	list := s.ok(http.MethodGet, "/api/v1/service/"+service+"/revisions", nil).([]any)
	require.Len(t, list, 4)
	require.Equal(t, "back to revision 1", list[3].(map[string]any)["cause"])
	require.Equal(t, true, list[3].(map[string]any)["current"])
	for _, bad := range []int{-1, 4, 99} {
		status, _ := s.call(s.admin, http.MethodPost, "/api/v1/service/"+service+"/rollback", map[string]any{"revision": bad})
		require.Contains(t, []int{404, 422}, status)
	}
}

func TestUpdateThatIsNeverReadyIsTakenBack(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 16)
	fields := map[string]any{
		"replicas": 3, "readiness_probe": map[string]any{"tcp": map[string]any{"port": 80}}, "update": map[string]any{"progress_deadline_s": 1},
	}
	service := s.register(s.admin, "app", fields)
	c.until(fine, "three run", func() bool { return s.rollout(service).Available == 3 })
	fields["code"] = "registry.example/app:bad"
	s.put(service, fields)
	bad := map[wire.InstanceKey]bool{}
	picky := func(i wire.ClusterInstance) (wire.State, bool) {
		if i.Spec.Image == "registry.example/app:bad" {
			bad[i.InstanceKey] = true
			return wire.StateRunning, false
		}
		return fine(i)
	}
	c.until(picky, "taken back", func() bool { o := s.rollout(service); return o.Revision == 3 && o.State == rolloutComplete })
	require.Len(t, bad, 1, "one at a time")
	placements := map[int64]int{}
	for _, i := range s.instances(service) {
		placements[i.Placement]++
	}
	require.Equal(t, map[int64]int{1: 2, 3: 1}, placements, "who had not changed over is left alone")
	o := s.rollout(service)
	require.True(t, o.RollingBack)
	require.Equal(t, []string{eventRevision, eventRollout, eventFailed, eventRevision, eventRollout, eventComplete}, o.kinds())

	// Without rollback it stays where it is, until somebody decides.
	fields["update"] = map[string]any{"progress_deadline_s": 1, "rollback": false}
	s.put(service, fields)
	c.until(picky, "failed", func() bool { return s.rollout(service).State == rolloutFailed })
	require.Equal(t, 2, s.rollout(service).Available)
	require.Contains(t, s.rollout(service).Detail, "is not available")
	fields["code"] = "registry.example/app:3"
	s.put(service, fields)
	c.until(picky, "repaired", func() bool { return s.rollout(service).State == rolloutComplete })
}

func TestRecreateNeverRunsTwoRevisions(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 16)
	fields := map[string]any{"replicas": 3, "update": map[string]any{"strategy": "recreate"}}
	service := s.register(s.admin, "app", fields)
	c.until(fine, "three run", func() bool { return s.rollout(service).Available == 3 })
	fields["code"] = "registry.example/app:2"
	s.put(service, fields)
	require.Eventually(t, func() bool { return len(c.desired(wire.Stamp{}, 0).Removed) == 3 }, 10*time.Second, 20*time.Millisecond)
	time.Sleep(300 * time.Millisecond) // time in which something could go wrong
	require.Empty(t, c.desired(wire.Stamp{}, 0).Changed, "nothing starts before the last has stopped")
	c.until(fine, "all anew", func() bool { return s.rollout(service).State == rolloutComplete })
	require.Equal(t, map[int]string{0: "registry.example/app:2", 1: "registry.example/app:2", 2: "registry.example/app:2"}, c.obey(fine))
}

func TestAnotherProcessGoesOnWithARollout(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 16)
	fields := map[string]any{"replicas": 2}
	service := s.register(s.admin, "app", fields)
	c.until(fine, "two run", func() bool { return s.rollout(service).Available == 2 })
	fields["code"] = "registry.example/app:2"
	s.put(service, fields)
	require.Eventually(t, func() bool { return s.rollout(service).Updated == 1 }, 10*time.Second, 20*time.Millisecond)
	two := startOn(t, s.pool.Config().ConnString(), s.root.ranges)
	s.root.pool.Config() // the first process still serves; its loop may be slower
	c.until(fine, "completes", func() bool { return two.rollout(service).State == rolloutComplete })
}

func TestUpdateKeepsWhoAServiceIs(t *testing.T) {
	s := start(t)
	service := s.register(s.admin, "app", map[string]any{})
	for name, bad := range map[string]map[string]any{
		"$.microservice_name":      {"microservice_name": "other"},
		"$.microservice_namespace": {"microservice_namespace": "other"},
		"$.addresses.rr_ip":        {"addresses": map[string]any{"rr_ip": "10.30.77.77"}},
		"$.memory":                 {"memory": -1},
		"$.update.strategy":        {"update": map[string]any{"strategy": "yolo"}},
	} {
		status, body := s.put(service, bad)
		require.Equal(t, 422, status, body)
		require.Equal(t, name, body["path"])
	}
	status, _ := s.call(s.admin, http.MethodPut, "/api/service/"+service, "[]")
	require.Equal(t, 400, status)
	status, _ = s.call(s.admin, http.MethodPut, "/api/service/"+service, descriptor("app", map[string]any{}, map[string]any{}))
	require.Equal(t, 422, status)
	status, body := s.call(s.admin, http.MethodPut, "/api/service/"+service, descriptor("app", map[string]any{"code": "registry.example/app:9"}))
	require.Equal(t, 200, status, body)
	require.Equal(t, "registry.example/app:9", s.ok(http.MethodGet, "/api/service/"+service, nil).(map[string]any)["image"])
	var kinds []string
	for _, e := range s.rollout(service).Events {
		kinds = append(kinds, e.Kind)
	}
	require.Equal(t, []string{eventRevision, eventRollout}, kinds[:2], "%s; without instances it may be complete by now", kinds)
}
