// SPDX-License-Identifier: Apache-2.0

package root

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
)

// member registers a user of an organisation, logs him in and returns his id too.
func (s *system) member(organization, name string, roles ...string) (token, id string) {
	s.t.Helper()
	status, body := s.call(s.admin, http.MethodPost, "/api/auth/register",
		map[string]any{"name": name, "password": password, "organization_name": organization, "roles": roles})
	require.Equal(s.t, 200, status, body)
	return s.login(organization, name), body.(map[string]any)["_id"].(map[string]any)["$oid"].(string)
}

// wants makes a request that has to be answered with the status.
func (s *system) wants(want int, token, method, path string, body any) map[string]any {
	s.t.Helper()
	status, answer := s.call(token, method, path, body)
	require.Equal(s.t, want, status, "%s %s: %v", method, path, answer)
	m, _ := answer.(map[string]any)
	return m
}

func (s *system) organizationID(name string) string {
	s.t.Helper()
	for _, o := range s.ok(http.MethodGet, "/api/organization/", nil).([]any) {
		if o := o.(map[string]any); o["name"] == name {
			return o["_id"].(map[string]any)["$oid"].(string)
		}
	}
	s.t.Fatalf("no organization %s", name)
	return ""
}

// TestOrganizationsAreApart walks every route about things of a user as the administrator of another organisation.
func TestOrganizationsAreApart(t *testing.T) {
	s := start(t)
	eve, _ := s.member("acme", "eve")
	boss, _ := s.member("acme", "boss", users.RoleOrganizationAdmin)
	stranger, _ := s.member("other", "boss", users.RoleOrganizationAdmin)
	service := s.register(eve, "app", map[string]any{})
	shown := s.wants(200, boss, http.MethodGet, "/api/service/"+service, nil)
	address := shown["RR_ip"].(string)

	fill := strings.NewReplacer(":service", service, ":application", shown["applicationID"].(string), ":name", "eve",
		":organization", s.organizationID("acme"), ":number", "0", ":address", address)
	tested := 0
	for _, rt := range s.root.handler.(*echo.Echo).Routes() {
		path := fill.Replace(rt.Path)
		if path == rt.Path || strings.Contains(path, "/:") {
			continue
		}
		tested++
		status, body := s.call(stranger, rt.Method, path, map[string]any{})
		if list, ok := body.([]any); ok && status == 200 && len(list) == 0 {
			continue // of a user of that name, who might be in the same organisation
		}
		require.Contains(t, []int{403, 404}, status, "%s %s: %v", rt.Method, path, body)
	}
	require.Greater(t, tested, 15)
	for _, list := range []string{"/api/applications", "/api/services", "/api/v1/instances", "/api/applications/boss"} {
		_, body := s.call(stranger, http.MethodGet, list, nil)
		require.Empty(t, body, list)
	}
	_, body := s.call(stranger, http.MethodGet, "/api/users", nil)
	require.Len(t, body, 1, "an administrator of an organization sees its users alone")

	// The administrator of the user's own organisation sees and changes all in it.
	for _, list := range []string{"/api/applications", "/api/services", "/api/applications/eve"} {
		_, body := s.call(boss, http.MethodGet, list, nil)
		require.Len(t, body, 1, list)
	}
	_, body = s.call(boss, http.MethodGet, "/api/users/"+s.organizationID("acme"), nil)
	require.Len(t, body, 2)
	s.wants(200, boss, http.MethodPost, "/api/service/"+service+"/instance", nil)
	s.wants(200, boss, http.MethodDelete, "/api/application/"+shown["applicationID"].(string), nil)
	// But is no administrator of the whole, and makes none.
	s.wants(403, boss, http.MethodGet, "/api/organization", nil)
	s.wants(403, boss, http.MethodDelete, "/api/v1/clusters/x", nil)
	s.wants(403, boss, http.MethodPut, "/api/user/eve", map[string]any{"roles": []string{users.RoleAdmin}})
	s.wants(403, boss, http.MethodPost, "/api/auth/register", map[string]any{"name": "x", "password": password, "roles": []string{users.RoleAdmin}})
	s.wants(403, boss, http.MethodPost, "/api/auth/register", map[string]any{"name": "x", "password": password, "organization_name": "other"})
	s.wants(404, boss, http.MethodPut, "/api/user/Admin", map[string]any{"password": "taken over it is"})
	made := s.wants(200, boss, http.MethodPost, "/api/auth/register", map[string]any{"name": "x", "password": password})
	require.Equal(t, "acme", made["organization"])
}

func TestUsersAreChanged(t *testing.T) {
	s := start(t)
	boss, _ := s.member("acme", "boss", users.RoleOrganizationAdmin)
	eve, id := s.member("acme", "eve")
	s.wants(403, eve, http.MethodPut, "/api/user/eve", map[string]any{"roles": []string{users.RoleOrganizationAdmin}})
	got := s.wants(200, boss, http.MethodPut, "/api/user/eve", map[string]any{"email": "eve@example.org", "roles": []string{users.RoleApplicationProvider}})
	require.Equal(t, "eve@example.org", got["email"])
	require.Equal(t, []any{users.RoleApplicationProvider}, s.wants(200, eve, http.MethodGet, "/api/permission/eve", nil)["roles"])
	s.wants(409, boss, http.MethodPut, "/api/user/eve", map[string]any{"name": "BOSS"})
	s.wants(200, boss, http.MethodPut, "/api/user/"+id, map[string]any{"name": "eva"})
	s.wants(422, boss, http.MethodPut, "/api/user/eva", map[string]any{"password": "short"})
	s.wants(422, boss, http.MethodPut, "/api/user/eva", map[string]any{"name": "a\x00b"})
	s.wants(422, boss, http.MethodPut, "/api/user/eva", map[string]any{"roles": []string{"God"}})
	s.wants(404, boss, http.MethodPut, "/api/user/eve", map[string]any{})
	s.wants(200, boss, http.MethodPut, "/api/user/eva", map[string]any{"password": "another password"})
	s.wants(401, eve, http.MethodGet, "/api/applications", nil)

	// Somebody has to stay who may do everything.
	s.wants(409, s.admin, http.MethodPut, "/api/user/Admin", map[string]any{"roles": []string{}})
	s.wants(409, s.admin, http.MethodDelete, "/api/user/Admin", nil)
	s.wants(200, s.admin, http.MethodPut, "/api/user/boss", map[string]any{"roles": []string{users.RoleAdmin}})
	s.wants(200, s.admin, http.MethodDelete, "/api/user/Admin", nil)
	s.wants(401, s.admin, http.MethodGet, "/api/users", nil)
	s.wants(200, boss, http.MethodGet, "/api/user/eva", nil)

	secure, body, err := request(s.pinned(), "", http.MethodPost, s.tls+"/api/user/", map[string]any{"username": "eva", "domain": "x"})
	require.NoError(t, err)
	require.Equal(t, 501, secure, body)
	require.Equal(t, "no_mail", body.(map[string]any)["code"])
}

func TestOrganizationsHaveMembers(t *testing.T) {
	s := start(t)
	_, eve := s.member("acme", "eve")
	_, bob := s.member("", "bob")
	s.wants(409, s.admin, http.MethodPost, "/api/organization", map[string]any{"name": "ACME"})
	for name, bad := range map[string]any{"no name": map[string]any{}, "an empty name": map[string]any{"name": ""}, "a role": map[string]any{"name": "x",
		"member": []any{map[string]any{"user_id": eve, "roles": []string{"God"}}}}, "a stranger": map[string]any{"name": "x", "member": []any{map[string]any{"user_id": "nobody"}}}} {
		got := s.wants(422, s.admin, http.MethodPost, "/api/organization", bad)
		require.NotEmpty(t, got["code"], name)
	}
	require.Len(t, s.ok(http.MethodGet, "/api/organization", nil), 2, "what was refused is not there")

	made := s.wants(200, s.admin, http.MethodPost, "/api/organization/", map[string]any{"name": "lab",
		"member": []any{map[string]any{"user_id": eve, "roles": []string{users.RoleOrganizationAdmin}}, map[string]any{"user_id": bob, "roles": []string{}}}})
	lab := made["_id"].(map[string]any)["$oid"].(string)
	require.Len(t, made["member"], 2)
	guest := s.login("lab", "eve")
	service := s.register(guest, "app", map[string]any{})
	require.Equal(t, "lab", s.wants(200, guest, http.MethodGet, "/api/user/eve", nil)["organization"])
	// In her own organisation she has neither the role nor the application.
	home := s.login("acme", "eve")
	s.wants(404, home, http.MethodGet, "/api/service/"+service, nil)
	s.wants(403, home, http.MethodGet, "/api/users", nil)
	// A guest is administrated where she is at home.
	host := s.login("lab", "bob")
	s.wants(403, host, http.MethodGet, "/api/users", nil)
	s.wants(404, guest, http.MethodPut, "/api/user/bob", map[string]any{"password": "taken over it is"})
	s.wants(404, guest, http.MethodPut, "/api/user/eve", map[string]any{"password": "taken over it is"})

	s.wants(409, s.admin, http.MethodDelete, "/api/organization/"+lab, nil)
	s.wants(200, s.admin, http.MethodPut, "/api/organization/"+lab, map[string]any{"name": "labs", "member": []any{map[string]any{"user_id": bob}}})
	s.wants(401, guest, http.MethodGet, "/api/applications", nil)
	status, _ := s.call("", http.MethodPost, "/api/auth/login", map[string]string{"username": "eve", "password": password, "organization_name": "labs"})
	require.Equal(t, 401, status, "she is no member any more")
	s.login("labs", "bob")
	s.ok(http.MethodDelete, "/api/service/"+service, nil)
	for _, a := range s.ok(http.MethodGet, "/api/applications/", nil).([]any) {
		s.ok(http.MethodDelete, "/api/application/"+a.(map[string]any)["applicationID"].(string), nil)
	}
	s.wants(200, s.admin, http.MethodDelete, "/api/organization/"+lab, nil)
	s.wants(404, s.admin, http.MethodDelete, "/api/organization/"+lab, nil)
	s.wants(409, s.admin, http.MethodDelete, "/api/organization/"+s.organizationID("root"), nil)
	s.wants(409, s.admin, http.MethodPut, "/api/organization/"+s.organizationID("root"), map[string]any{"name": "stem"})
	s.wants(409, s.admin, http.MethodPut, "/api/organization/"+s.organizationID("root"), map[string]any{"member": []any{}})
	s.wants(404, s.admin, http.MethodPut, "/api/organization/nowhere", map[string]any{})
	require.Len(t, s.ok(http.MethodGet, "/api/users", nil), 3)
}

func TestApplicationsAreChanged(t *testing.T) {
	s := start(t)
	service := s.register(s.admin, "app", map[string]any{})
	app := s.ok(http.MethodGet, "/api/service/"+service, nil).(map[string]any)["applicationID"].(string)
	path := "/api/application/" + app
	doc := s.ok(http.MethodGet, path, nil).(map[string]any)
	changed := maps.Clone(doc)
	changed["application_desc"] = "something new"
	s.ok(http.MethodPut, path, changed)
	require.Equal(t, changed, s.ok(http.MethodGet, path, nil), "what a client has got it may send back")
	s.wants(422, s.admin, http.MethodPut, path, map[string]any{"microservices": []string{}})
	s.wants(422, s.admin, http.MethodPut, path, map[string]any{"application_name": "a.b"})
	s.wants(422, s.admin, http.MethodPut, path, map[string]any{"application_desc": strings.Repeat("x", 100_000)})
	s.wants(409, s.admin, http.MethodPut, path, map[string]any{"application_name": "other"})
	s.ok(http.MethodDelete, "/api/service/"+service, nil)
	s.ok(http.MethodPut, path, map[string]any{"application_name": "other"})
	s.register(s.admin, "app", map[string]any{})
	s.wants(409, s.admin, http.MethodPut, path, map[string]any{"application_name": "app"})
}

func TestAddressesAreLookedUp(t *testing.T) {
	s := start(t)
	offered := s.ok(http.MethodGet, "/api/pubnet/service/netinfo/available-ip", nil).(map[string]any)["available_service_ips"].([]any)
	require.Len(t, offered, 3)
	service := s.register(s.admin, "app", map[string]any{})
	info := s.ok(http.MethodGet, "/api/pubnet/service/netinfo/"+service, nil).(map[string]any)
	require.Equal(t, offered, info["service_ip_list"], "what was offered is what a service gets")
	for _, key := range []string{"Address", "Address_v6"} {
		for _, ip := range info["service_ip_list"].([]any) {
			text := ip.(map[string]any)[key].(string)
			for _, form := range []string{text, strings.ReplaceAll(text, ".", "_")} {
				require.Equal(t, info, s.ok(http.MethodGet, "/api/pubnet/service/netinfo/ip/"+form, nil), form)
			}
		}
	}
	s.wants(404, s.admin, http.MethodGet, "/api/pubnet/service/netinfo/ip/10.1.2.3", nil)
	s.wants(422, s.admin, http.MethodGet, "/api/pubnet/service/netinfo/ip/nonsense", nil)
	many := s.ok(http.MethodGet, "/api/pubnet/service/netinfo/available-ip/4?v=6", nil).(map[string]any)["available_service_ips"].([]any)
	require.Len(t, many, 12)
	require.False(t, slices.ContainsFunc(many, func(a any) bool { return a.(map[string]any)["Address"] != "" }))
	s.wants(422, s.admin, http.MethodGet, "/api/pubnet/service/netinfo/available-ip/0", nil)
	s.wants(422, s.admin, http.MethodGet, "/api/pubnet/service/netinfo/available-ip?v=5", nil)
}
