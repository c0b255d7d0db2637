// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/reference"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// plays has a cluster run all that it is given, and stop what it is told to, until the test ends.
func (c *fakeCluster) plays() {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var since wire.Stamp
		for {
			select {
			case <-stop:
				return
			default:
			}
			d := c.desired(since, time.Second)
			r := c.full(4)
			r.Full, r.Applied, since = false, d.Stamp, d.Stamp
			for _, i := range d.Changed {
				r.Instances = append(r.Instances, wire.InstanceReport{InstanceKey: i.InstanceKey, Generation: wire.Generation{Placement: i.Placement, Move: 1},
					State: wire.StateRunning, Since: time.Now()})
			}
			for _, stone := range d.Removed {
				r.Instances = append(r.Instances, wire.InstanceReport{InstanceKey: stone.InstanceKey,
					Generation: wire.Generation{Placement: stone.Generation.Placement, Move: 1}, State: wire.StateUndeployed, Since: time.Now()})
			}
			c.report(r)
		}
	}()
	c.s.t.Cleanup(func() { close(stop); <-done })
}

// A client that knows the reference and nothing else does all that users do, with the descriptors that users have.
func TestAClientOfTheReference(t *testing.T) {
	s := start(t)
	s.joinWith("c1", 4).plays()
	c, err := reference.Login(t.Context(), s.plain, "Admin", password)
	require.NoError(t, err)
	require.NoError(t, c.Renew(t.Context()))
	files, err := filepath.Glob("../../control/sla/testdata/*.json")
	require.NoError(t, err)
	require.Len(t, files, 3)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		require.NoError(t, c.Play(ctx, raw), file)
		cancel()
	}
}

// TestEveryEndpointOfTheReference calls each endpoint of the original's root (its sections 2.1 and 2.4, as far as they are users') once, as
// documented: the path with the slash that the documentation has, the method, the body. Two are left out, by which clusters and
// schedulers, which are no users, talked to the original without any authentication.
func TestEveryEndpointOfTheReference(t *testing.T) {
	s := start(t)
	s.joinWith("c1", 4)
	service := s.register(s.admin, "app", map[string]any{})
	doc := s.ok(http.MethodGet, "/api/service/"+service, nil).(map[string]any)
	app := doc["applicationID"].(string)
	_, pair := s.call("", http.MethodPost, "/api/auth/login", map[string]string{"username": "Admin", "password": password})
	refresh := pair.(map[string]any)["refresh_token"].(string)
	more := descriptor("app", map[string]any{"microservice_name": "more"})
	more["applications"].([]any)[0].(map[string]any)["applicationID"] = app
	changed := map[string]any{}
	for key, value := range doc {
		changed[key] = value
	}
	changed["memory"] = 128
	organization := func() string { return s.organizationID("acme") }
	for i, tc := range []struct {
		method, path, token string
		body                any
		status              int
		has                 []string // keys of the answer, or of the first of a list
	}{
		{"POST", "/api/auth/login", "", map[string]any{"username": "Admin", "password": password}, 200, []string{"token", "refresh_token"}},
		{"POST", "/api/auth/login", "", map[string]any{"username": "Admin", "password": password, "organization_name": "root"}, 200, []string{"token"}},
		{"POST", "/api/auth/login", "", map[string]any{"username": "Admin", "password": "wrong"}, 401, []string{"message"}},
		{"POST", "/api/auth/login", "", map[string]any{"username": "Admin", "password": password, "organization_name": "none"}, 404, []string{"message"}},
		{"POST", "/api/auth/register", s.admin, map[string]any{"name": "eve", "password": password, "email": "eve@example.org", "created_at": "2026", "roles": []string{"Application_Provider"}}, 200, []string{"_id", "name"}},
		{"POST", "/api/auth/register", s.admin, map[string]any{"name": "eve", "password": password, "email": "", "created_at": "2026", "roles": []string{}}, 409, []string{"message"}},
		{"POST", "/api/auth/refresh", refresh, nil, 200, []string{"token"}},
		{"GET", "/api/permission/Admin", s.admin, nil, 200, []string{"roles"}},
		{"GET", "/api/user/Admin", s.admin, nil, 200, []string{"_id", "name", "email", "roles"}},
		{"POST", "/api/user/Admin", s.admin, map[string]any{"oldPassword": "wrong", "newPassword": "a new password"}, 401, []string{"message"}},
		{"PUT", "/api/user/eve", s.admin, map[string]any{"email": "eve@example.com", "roles": []string{"Infrastructure_Provider"}}, 200, []string{"roles"}},
		{"GET", "/api/users/", s.admin, nil, 200, []string{"name"}},
		{"GET", "/api/users/" + s.organizationID("root"), s.admin, nil, 200, []string{"name"}},
		{"DELETE", "/api/user/eve", s.admin, nil, 200, []string{"message"}},
		{"POST", "/api/user/", "", map[string]any{"username": "Admin", "domain": "localhost"}, 501, []string{"message"}}, // no mail is configured: see TestALostPasswordIsSetByAMail
		{"PUT", "/api/user/", "", map[string]any{"token": "x", "password": "a new password"}, 501, []string{"message"}},
		{"POST", "/api/organization/", s.admin, map[string]any{"name": "acme", "member": []any{}}, 200, []string{"_id", "name", "member"}},
		{"GET", "/api/organization/", s.admin, nil, 200, []string{"_id", "name", "member"}},
		{"PUT", "/api/organization/{organization}", s.admin, map[string]any{"name": "acme", "member": []any{map[string]any{"user_id": adminID(s), "roles": []string{"Admin"}}}}, 200, []string{"member"}},
		{"DELETE", "/api/organization/{organization}", s.admin, nil, 200, []string{"message"}},
		{"POST", "/api/application/", s.admin, descriptor("other", map[string]any{}), 200, []string{"applicationID", "application_name", "microservices", "userId"}},
		{"POST", "/api/application/", s.admin, descriptor("other", map[string]any{}), 409, []string{"message"}},
		{"POST", "/api/application/", s.admin, map[string]any{"sla_version": "v1.0"}, 422, []string{"message"}},
		{"GET", "/api/application/" + app, s.admin, nil, 200, []string{"applicationID", "application_name", "application_namespace", "application_desc"}},
		{"PUT", "/api/application/" + app, s.admin, map[string]any{"application_name": "app", "application_namespace": "test", "application_desc": "changed", "microservices": []string{service}}, 200, []string{"message"}},
		{"GET", "/api/applications/Admin", s.admin, nil, 200, []string{"applicationID"}},
		{"GET", "/api/applications/", s.admin, nil, 200, []string{"applicationID"}},
		{"POST", "/api/service/", s.admin, more, 200, []string{"job_id", "deployed_services", "failed_services"}},
		{"GET", "/api/service/" + service, s.admin, nil, 200, []string{"job_name", "instance_list", "RR_ip", "image"}},
		{"PUT", "/api/service/" + service, s.admin, changed, 200, []string{"message"}},
		{"GET", "/api/services/" + app, s.admin, nil, 200, []string{"_id", "job_name"}},
		{"GET", "/api/services/", s.admin, nil, 200, []string{"_id", "job_name"}},
		{"POST", "/api/service/" + service + "/instance", s.admin, nil, 200, []string{"message"}},
		{"DELETE", "/api/service/" + service + "/instance/0", s.admin, nil, 200, []string{"message"}},
		{"DELETE", "/api/service/" + service + "/instance/-1", s.admin, nil, 200, []string{"message"}},
		{"POST", "/api/service/" + pki.NewID() + "/instance", s.admin, nil, 404, []string{"message"}},
		{"GET", "/api/pubnet/service/netinfo/" + doc["job_name"].(string), s.admin, nil, 200, []string{"_id", "applicationID", "app_ns", "app_name", "service_ns", "service_name", "service_job_id", "service_ip_list", "instance_list"}},
		{"GET", "/api/pubnet/service/netinfo/ip/" + doc["RR_ip"].(string), s.admin, nil, 200, []string{"service_job_id"}},
		{"GET", "/api/pubnet/service/netinfo/available-ip/", s.admin, nil, 200, []string{"available_service_ips"}},
		{"GET", "/api/pubnet/service/netinfo/available-ip/3?v=4", s.admin, nil, 200, []string{"available_service_ips"}},
		{"GET", "/api/clusters/", s.admin, nil, 200, []string{"_id", "cluster_name", "cluster_location", "aggregated_cpu_percent", "memory_in_mb", "total_cpu_cores", "total_gpu_cores"}},
		{"GET", "/api/clusters/active", s.admin, nil, 200, []string{"cluster_name"}},
		{"GET", "/frontend/uploader", s.admin, nil, 200, nil},
		{"DELETE", "/api/service/" + service, s.admin, nil, 200, []string{"message"}},
		{"DELETE", "/api/application/" + app, s.admin, nil, 200, []string{"message"}},
		{"POST", "/api/user/Admin", s.admin, map[string]any{"oldPassword": password, "newPassword": "a new password"}, 200, []string{}},
		{"GET", "/api/services/", s.admin, nil, 401, []string{"message"}}, // which has ended all logins
	} {
		if filepath.Base(tc.path) == "{organization}" {
			tc.path = filepath.Dir(tc.path) + "/" + organization()
		}
		if tc.path == "/api/service/"+service && tc.method == "DELETE" { // the file that the uploader keeps, in its own form
			s.sendFile(s.admin, "sla.json", "{}")
		}
		status, answer := s.call(tc.token, tc.method, tc.path, tc.body)
		require.Equal(t, tc.status, status, "%d: %s %s: %v", i, tc.method, tc.path, answer)
		if list, ok := answer.([]any); ok && len(tc.has) > 0 {
			require.NotEmpty(t, list, tc.path)
			answer = list[0]
		}
		for _, key := range tc.has {
			require.Contains(t, answer, key, "%s %s", tc.method, tc.path)
		}
	}
}

// adminID returns the id of the account Admin.
func adminID(s *system) string {
	return s.ok(http.MethodGet, "/api/user/Admin", nil).(map[string]any)["_id"].(map[string]any)["$oid"].(string)
}
