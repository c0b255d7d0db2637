// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

func TestBadDescriptorsAreRefusedAndTheServerGoesOn(t *testing.T) {
	s := start(t)
	s.register(s.admin, "taken", map[string]any{"addresses": map[string]string{"rr_ip": "10.30.9.9"}})
	version := descriptor("a", map[string]any{})
	version["sla_version"] = "v9.0"
	for _, tc := range []struct {
		name   string
		body   any
		status int
		path   string
	}{
		{"10 MB", strings.Repeat("x", 10<<20), 413, ""},
		{"broken", `{"sla_version":`, 400, ""},
		{"empty", ``, 400, ""},
		{"version", version, 422, "$.sla_version"},
		{"name", descriptor("no/slash"), 422, "$.applications[0].application_name"},
		{"memory", descriptor("a", map[string]any{}, map[string]any{"memory": -1}), 422, "$.applications[0].microservices[1].memory"},
		{"no image", descriptor("a", map[string]any{"code": ""}), 422, "$.applications[0].microservices[0].code"},
		{"address", descriptor("a", map[string]any{"addresses": map[string]string{"rr_ip": "10.31.0.1"}}), 422,
			"$.applications[0].microservices[0].addresses.rr_ip"},
		{"taken address", descriptor("a", map[string]any{"addresses": map[string]string{"closest_ip": "10.30.9.9"}}), 409,
			"$.applications[0].microservices[0].addresses.closest_ip"},
		{"same name", descriptor("TAKEN"), 409, "$.applications[0]"},
	} {
		status, body := s.call(s.admin, http.MethodPost, "/api/application/", tc.body)
		require.Equal(t, tc.status, status, "%s: %v", tc.name, body)
		problem := body.(map[string]any)
		require.NotEmpty(t, problem["message"], tc.name)
		if tc.path != "" {
			require.Equal(t, tc.path, problem["path"], tc.name)
		}
	}
	require.Len(t, s.ok(http.MethodGet, "/api/applications", nil), 1, "nothing of them was stored")
	s.register(s.admin, "good", map[string]any{})
}

func TestHonestStatuses(t *testing.T) {
	s := start(t)
	service := s.register(s.admin, "app", map[string]any{})
	for _, tc := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/api/service/ffffffffffffffffffffffff", 404},
		{"GET", "/api/service/..%2f..", 404},
		{"POST", "/api/service/ffffffffffffffffffffffff/instance", 404},
		{"DELETE", "/api/service/" + service + "/instance/7", 404},
		{"DELETE", "/api/service/" + service + "/instance/-1", 200},
		{"DELETE", "/api/service/" + service + "/instance/x", 422},
		{"PUT", "/api/service/" + service, 400},
		{"GET", "/api/application/ffffffffffffffffffffffff", 404},
		{"GET", "/api/pubnet/service/netinfo/app.test.svc0.test", 200},
		{"GET", "/api/pubnet/service/netinfo/app.test.none.test", 404},
		{"GET", "/api/clusters/", 200},
		{"GET", "/api/clusters/active", 200},
		{"PATCH", "/api/service/" + service, 405},
		{"GET", "/api/nothing", 404},
	} {
		status, body := s.call(s.admin, tc.method, tc.path, nil)
		require.Equal(t, tc.status, status, "%s %s: %v", tc.method, tc.path, body)
	}
	// A service can be added to an application that exists, and go again.
	app := s.ok(http.MethodGet, "/api/service/"+service, nil).(map[string]any)["applicationID"]
	d := descriptor("app", map[string]any{"microservice_name": "second"})
	status, _ := s.call(s.admin, http.MethodPost, "/api/service/", d)
	require.Equal(t, 422, status, "without the application's id")
	d["applications"].([]any)[0].(map[string]any)["applicationID"] = app
	answer := s.ok(http.MethodPost, "/api/service/", d).(map[string]any)
	status, _ = s.call(s.admin, http.MethodPost, "/api/service/", d)
	require.Equal(t, 409, status)
	require.Len(t, s.ok(http.MethodGet, "/api/services/"+app.(string), nil), 2)
	s.ok(http.MethodDelete, "/api/service/"+answer["job_id"].(string), nil)
	require.Len(t, s.ok(http.MethodGet, "/api/services/"+app.(string), nil), 1)
}

func TestFullPoolIsRefusedByName(t *testing.T) {
	ranges := semantic.DefaultRanges()
	ranges.ServicesV4 = netip.MustParsePrefix("10.30.0.0/28") // 14 addresses
	s := startOn(t, pgtest.New(t), ranges)
	service := s.register(s.admin, "app", map[string]any{}) // takes 3
	for range 11 {
		s.deploy(service)
	}
	status, body := s.call(s.admin, http.MethodPost, "/api/service/"+service+"/instance", nil)
	require.Equal(t, 507, status)
	require.Contains(t, body.(map[string]any)["detail"], "services-v4")
	require.Len(t, s.instances(service), 11, "what was refused left nothing behind")
	s.ok(http.MethodDelete, "/api/service/"+service+"/instance/3", nil)
	status, _ = s.call(s.admin, http.MethodPost, "/api/service/"+service+"/instance", nil)
	require.Equal(t, 507, status, "the address is in quarantine")
	_, err := s.pool.Exec(t.Context(), `UPDATE address SET released_at = released_at - interval '11 minutes'`)
	require.NoError(t, err)
	s.deploy(service)
}
