// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

// anybodys are routes for whoever is logged in that show him what is his, so that there is nothing to refuse but strangers.
var anybodys = map[string]bool{
	"POST /api/auth/logout": true, "POST /api/application": true, "GET /api/applications": true, "POST /api/service": true, "GET /api/services": true,
	"GET /api/clusters": true, "GET /api/clusters/active": true, "GET /api/v1/clusters": true, "GET /api/v1/instances": true,
	"GET /api/v1/secrets": true, "POST /api/v1/secrets": true, "GET " + pathUploads: true, "POST " + pathUploads: true, "GET /api/v1/events": true,
	"GET /api/pubnet/service/netinfo/available-ip": true, "GET /api/pubnet/service/netinfo/available-ip/:count": true,
}

// organizations are routes by which those who administrate an organisation see and change it; of them they see their own without naming it.
var organizations = map[string]bool{"POST /api/auth/register": true, "GET /api/users": true}

// TestSecurityWalk calls every route, also ones that a later change adds, as everybody who must not: without a token, with one that is junk, has
// expired, was revoked by a logout, or is for refreshing only; without the role; as a user to whom the thing does not belong; and as
// the administrator of another organisation. Each is refused, and nothing has changed afterwards.
func TestSecurityWalk(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 1)
	worker := pki.NewID()
	c.tells(func() wire.WorkerList {
		return wire.WorkerList{Workers: []wire.WorkerView{{ID: worker, Mode: wire.WorkerOpen}}}
	})
	victim, victimID := s.member("root", "victim")
	service := s.register(victim, "app", map[string]any{})
	_, shown := s.call(victim, http.MethodGet, "/api/service/"+service, nil)
	doc := shown.(map[string]any)
	status, _ := s.call(victim, http.MethodPost, "/api/service/"+service+"/instance", nil)
	require.Equal(t, 200, status)
	secret := s.ok(http.MethodPost, "/api/v1/secrets", map[string]any{"name": "walk", "value": "x"}).(map[string]any)["id"].(string)
	file := strings.TrimPrefix(s.sendFile(victim, "a.json", "{}"), pathUploads+"/")
	token := s.ok(http.MethodPost, "/api/v1/tokens", map[string]any{}).(map[string]any)["id"].(string)
	s.ok(http.MethodGet, "/api/v1/workers", nil)

	eve, _ := s.member("root", "eve")
	provider, _ := s.member("root", "provider", users.RoleInfrastructureProvider, users.RoleApplicationProvider)
	mallory, _ := s.member("acme", "mallory", users.RoleOrganizationAdmin)
	out := s.user("out")
	s.wants(200, out, http.MethodPost, "/api/auth/logout", nil)
	_, pair := s.call("", http.MethodPost, "/api/auth/login", map[string]string{"username": "victim", "password": password})
	strangers := map[string]string{
		"anonymous": "", "junk": "x.y.z", "expired": expire(t, s), "logged out": out, "with a refresh token": pair.(map[string]any)["refresh_token"].(string),
	}
	fill := strings.NewReplacer(":service", service, ":application", doc["applicationID"].(string), ":name", "victim", ":number", "0", ":id", c.id,
		":organization", s.organizationID("root"), ":address", doc["RR_ip"].(string), ":count", "1", ":secret", secret, ":upload", file, ":token", token, ":worker", worker)

	before := s.holdings()
	walked := map[string]int{}
	for _, rt := range s.root.handler.(*echo.Echo).Routes() {
		name := rt.Method + " " + rt.Path
		if open[name] || strings.Contains(rt.Path, "/streams/") {
			continue
		}
		path := fill.Replace(rt.Path)
		require.NotContains(t, path, ":", "the walk does not know what to call %s with", name)
		for who, token := range strangers {
			status, body := s.call(token, rt.Method, path, map[string]any{})
			require.Equal(t, 401, status, "%s %s: %v", name, who, body)
			walked["stranger"]++
		}
		if slices.Contains(clusterRoutes, rt.Path) || anybodys[name] {
			continue // clusters are TestEveryRouteRefusesStrangers's
		}
		foes := map[string]string{"another user": eve, "a provider": provider}
		if !organizations[name] {
			foes["another organization's administrator"] = mallory
		}
		for who, token := range foes {
			status, body := s.call(token, rt.Method, path, map[string]any{})
			require.Contains(t, []int{403, 404}, status, "%s as %s: %v", name, who, body)
			walked[who]++
		}
	}
	require.Greater(t, walked["stranger"], 250, walked)
	require.Greater(t, walked["another user"], 30, walked)
	require.Greater(t, walked["another organization's administrator"], 30, walked)

	// What is not in the path: things of others named by a query, a body, or another name.
	s.wants(403, mallory, http.MethodPost, "/api/auth/register", map[string]any{"name": "mole", "password": password, "organization_name": "root"})
	s.wants(403, mallory, http.MethodPost, "/api/auth/register", map[string]any{"name": "mole", "password": password, "roles": []string{users.RoleAdmin}})
	foreign := descriptor("app", map[string]any{"microservice_name": "mole"})
	foreign["applications"].([]any)[0].(map[string]any)["applicationID"] = doc["applicationID"]
	for _, token := range []string{eve, provider, mallory} {
		s.wants(404, token, http.MethodPost, "/api/service", foreign)
		status, _ := s.call(token, http.MethodGet, "/api/user/"+victimID, nil)
		require.Contains(t, []int{403, 404}, status)
		for _, list := range []string{"/api/v1/instances?service=" + service, "/api/applications", "/api/services", pathUploads} {
			_, answer := s.call(token, http.MethodGet, list, nil)
			require.Empty(t, answer, list)
		}
		for _, path := range []string{"/api/service/", "/api/pubnet/service/netinfo/"} {
			s.wants(404, token, http.MethodGet, path+doc["job_name"].(string), nil)
		}
	}
	require.Equal(t, before, s.holdings(), "nothing has changed on the way")
}

// holdings counts, and sums up, what the database holds of users' things.
func (s *system) holdings() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	for table, columns := range map[string]string{
		"account": "id || name || email || password", "organization": "id || name", "membership": "account_id || roles::text", "application": "id || name || coalesce(deleted_at::text, '')",
		"service": "id || descriptor::text || coalesce(deleted_at::text, '')", "instance": "service_id || number || coalesce(deleted_at::text, '')",
		"secret": "id", "upload": "id", "join_token": "id || uses_left", "worker_order": "worker_id", "cluster": "id || name", "password_reset": "account_id",
	} {
		var sum string
		err := s.pool.QueryRow(s.t.Context(), fmt.Sprintf(`SELECT count(*) || ' ' || coalesce(md5(string_agg(%s, ',' ORDER BY %s)), '') FROM %s`, columns, columns, table)).Scan(&sum)
		require.NoError(s.t, err, table)
		out[table] = sum
	}
	require.Len(s.t, slices.Collect(maps.Keys(out)), 12)
	return out
}
