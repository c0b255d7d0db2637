// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func TestServicesAreSelectedByLabel(t *testing.T) {
	s := start(t)
	s.register(s.admin, "one", map[string]any{"labels": map[string]any{"tier": "front", "team": "a"}})
	two := s.register(s.admin, "two", map[string]any{"labels": map[string]any{"tier": "back"}})
	s.register(s.admin, "three", map[string]any{})
	s.deploy(two)
	count := func(query string) int { return len(s.ok(http.MethodGet, "/api/services"+query, nil).([]any)) }
	for query, want := range map[string]int{
		"": 3, "?label=tier": 2, "?label=tier=front": 1, "?label=tier=front&label=team=a": 1, "?label=tier=front&label=team=b": 0,
		"?label=tier=fro": 0, "?label=other": 0, "?label=team=a&limit=1": 1,
	} {
		require.Equal(t, want, count(query), query)
	}
	require.Len(t, s.ok(http.MethodGet, "/api/v1/instances?label=tier=back", nil), 1)
	require.Empty(t, s.ok(http.MethodGet, "/api/v1/instances?label=tier=front", nil))
	status, _ := s.call(s.admin, http.MethodGet, "/api/services?label=%3Dx", nil)
	require.Equal(t, 422, status)
}

func TestApplicationIsChangedWithItsServices(t *testing.T) {
	s := start(t)
	c, other := s.joinWith("c1", 16), s.joinWith("c2", 16)
	service := s.register(s.admin, "app", map[string]any{"replicas": 1, "constraints": []any{map[string]any{"type": "clusters", "allowed": []any{"c1", "c2"}}}})
	app := s.ok(http.MethodGet, "/api/service/"+service, nil).(map[string]any)["applicationID"].(string)
	both := func() { c.obey(fine); other.obey(fine) }
	until := func(what string, ok func() bool) {
		t.Helper()
		c.until(fine, what, func() bool { both(); return ok() })
	}
	until("it runs", func() bool { return s.rollout(service).Available == 1 })
	at := s.instances(service)[0].ClusterName

	micro := func(name string, fields map[string]any) map[string]any {
		fields["microservice_name"] = name
		return descriptor("app", fields)["applications"].([]any)[0].(map[string]any)["microservices"].([]any)[0].(map[string]any)
	}
	path := "/api/application/" + app
	changed := map[string]any{"code": "registry.example/app:2", "constraints": []any{map[string]any{"type": "clusters", "allowed": []any{"c1", "c2"}}}}
	s.ok(http.MethodPut, path, map[string]any{"microservices": []any{micro("svc0", changed), micro("added", map[string]any{})}})
	until("changed over", func() bool { o := s.rollout(service); return o.Revision == 2 && o.State == rolloutComplete })
	require.Len(t, s.ok(http.MethodGet, path, nil).(map[string]any)["microservices"], 2)
	require.Equal(t, "registry.example/app:2", s.ok(http.MethodGet, "/api/service/"+service, nil).(map[string]any)["image"])
	require.EqualValues(t, 1, s.rollout(service).Instances, "replicas are kept")

	// A constraint of the whole application moves what is where it may not be.
	s.ok(http.MethodPut, path, map[string]any{"constraints": []any{map[string]any{"type": "clusters", "denied": []any{at}}}})
	until("moved", func() bool {
		list := s.instances(service)
		return len(list) == 1 && list[0].ClusterName != at && list[0].Status == wire.StateRunning && s.rollout(service).State == rolloutComplete
	})
	require.Len(t, s.ok(http.MethodGet, path, nil).(map[string]any)["constraints"], 1)

	for at, bad := range map[string]map[string]any{
		"$.microservices[1].memory":          {"microservices": []any{service, micro("svc0", map[string]any{"memory": -1})}},
		"$.microservices[0].secrets[0].name": {"microservices": []any{micro("new", map[string]any{"secrets": []any{map[string]any{"name": "none", "env": "A"}}})}},
		"$.microservices[0]":                 {"microservices": []any{7}},
		"$.microservices":                    {"microservices": []any{service}},
		"$.constraints[0].type":              {"constraints": []any{map[string]any{"type": "x"}}},
		"$.microservices[0].addresses.rr_ip": {"microservices": []any{micro("svc0", map[string]any{"addresses": map[string]any{"rr_ip": "10.30.66.66"}})}},
	} {
		status, body := s.call(s.admin, http.MethodPut, path, bad)
		require.Equal(t, 422, status, body)
		require.Equal(t, at, body.(map[string]any)["path"], body)
	}
	require.Equal(t, 3, s.rollout(service).Revision, "what is refused changes nothing")
}
