// SPDX-License-Identifier: Apache-2.0

package root

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// open are the routes that check by themselves what they are given.
var open = map[string]bool{
	"POST /api/auth/login": true, "POST /api/auth/refresh": true, "POST /api/v1/clusters/join": true, "GET /api/v1/clusters/join": true,
	"POST /api/user": true, "PUT /api/user": true, "GET /healthz": true, "GET /readyz": true, "GET /metrics": true,
	"GET /api/docs": true, "GET /docs/openapi.json": true,
}

// clusterRoutes are for clusters alone.
var clusterRoutes = []string{
	httpapi.Route(wire.PathClusterDesired), httpapi.Route(wire.PathClusterReport), httpapi.Route(wire.PathClusterRenew), httpapi.Route(wire.PathClusterOverlay), httpapi.Route(wire.PathClusterAbroad),
	httpapi.Route(wire.PathClusterSecrets),
}

// TestEveryRouteRefusesStrangers walks all routes that are registered, also ones that a later change adds.
func TestEveryRouteRefusesStrangers(t *testing.T) {
	s := start(t)
	c, other := s.joinWith("c1", 1), s.joinWith("c2", 1)
	service := s.register(s.admin, "app", map[string]any{})
	shown := s.ok(http.MethodGet, "/api/service/"+service, nil).(map[string]any)
	eve := s.user("eve")
	s.register(eve, "app2", map[string]any{})
	expired := expire(t, s)

	secret := s.ok(http.MethodPost, "/api/v1/secrets", map[string]any{"name": "walk", "value": "x"}).(map[string]any)["id"].(string)
	fill := strings.NewReplacer(":secret", secret, ":service", service, ":application", shown["applicationID"].(string), ":name", "Admin",
		":number", "0", ":id", c.id)
	tested := 0
	for _, rt := range s.root.handler.(*echo.Echo).Routes() {
		if open[rt.Method+" "+rt.Path] {
			continue
		}
		tested++
		path := fill.Replace(rt.Path)
		name := rt.Method + " " + rt.Path
		for who, token := range map[string]string{"anonymous": "", "expired": expired, "junk": "x.y.z"} {
			status, body := s.call(token, rt.Method, path, nil)
			require.Equal(t, 401, status, "%s as %s: %v", name, who, body)
		}
		if rt.Path == httpapi.Route(wire.PathStream) { // for whoever was asked to come, see TestStreams
			status, _ := s.call(s.admin, rt.Method, path, nil)
			require.Equal(t, 401, status, "%s with an administrator's token", name)
			require.Equal(t, 426, other.send(rt.Method, s.tls+path, nil, nil), "%s with a certificate alone", name)
			continue
		}
		clusterRoute := slices.Contains(clusterRoutes, rt.Path)
		if clusterRoute {
			status, _ := s.call(s.admin, rt.Method, path, nil)
			require.Equal(t, 401, status, "%s with an administrator's token", name)
			require.Equal(t, 403, other.send(rt.Method, s.tls+path, nil, nil), "%s with another cluster's certificate", name)
			continue
		}
		if rt.Path != fill.Replace(rt.Path) { // about something that is not eve's
			status, body := s.call(eve, rt.Method, path, nil)
			require.Contains(t, []int{403, 404}, status, "%s as the wrong owner: %v", name, body)
		}
	}
	require.Greater(t, tested, 20)
	require.Len(t, s.ok(http.MethodGet, "/api/services", nil), 2, "nothing was deleted on the way")

	// What is not named in the path: a user sees his own alone.
	_, apps := s.call(eve, http.MethodGet, "/api/applications", nil)
	require.Len(t, apps, 1)
	_, services := s.call(eve, http.MethodGet, "/api/services/", nil)
	require.Len(t, services, 1)
	s.deploy(service)
	_, instances := s.call(eve, http.MethodGet, "/api/v1/instances?service="+service, nil)
	require.Empty(t, instances)
	d := descriptor("app", map[string]any{})
	d["applications"].([]any)[0].(map[string]any)["applicationID"] = shown["applicationID"]
	status, _ := s.call(eve, http.MethodPost, "/api/service", d)
	require.Equal(t, 404, status)
	for _, adminOnly := range []string{"GET /api/users", "POST /api/auth/register"} {
		method, path, _ := strings.Cut(adminOnly, " ")
		status, _ := s.call(eve, method, path, map[string]any{})
		require.Equal(t, 403, status, adminOnly)
	}
}

// expire returns a token of the administrator that was good until a moment ago.
func expire(t *testing.T, s *system) string {
	t.Helper()
	var key []byte
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT secret FROM signing_key`).Scan(&key))
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(s.admin, claims, func(*jwt.Token) (any, error) { return key, nil })
	require.NoError(t, err)
	claims["exp"] = 1
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
	require.NoError(t, err)
	return token
}

func TestClusterCertificateIsNoUser(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 1)
	require.Equal(t, 401, c.send(http.MethodGet, s.tls+"/api/services", nil, nil))
	// A certificate of another installation is refused in the handshake; one of this, for an id that never joined, finds nothing.
	key, err := pki.NewKey()
	require.NoError(t, err)
	csr, err := pki.NewCSR(key)
	require.NoError(t, err)
	id := pki.NewID()
	cert, err := s.root.CA().SignClient(csr, id, "", 1<<40)
	require.NoError(t, err)
	cfg, err := pki.ClientTLS(cert, key, s.root.CA().CertPEM())
	require.NoError(t, err)
	ghost := &fakeCluster{s: s, id: id, client: &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}}}
	require.Equal(t, 404, ghost.send(http.MethodPost, ghost.url(wire.PathClusterReport), wire.ClusterReport{}, nil))
	require.Equal(t, 404, ghost.send(http.MethodGet, ghost.url(wire.PathClusterDesired), nil, nil))
}

func TestAccounts(t *testing.T) {
	s := start(t)
	eve := s.user("eve")
	status, _ := s.call(s.admin, http.MethodPost, "/api/auth/register", map[string]any{"name": "Eve", "password": password})
	require.Equal(t, 409, status)
	status, body := s.call(s.admin, http.MethodPost, "/api/auth/register", map[string]any{"name": "x", "password": "short"})
	require.Equal(t, 422, status, body)
	status, body = s.call(s.admin, http.MethodPost, "/api/auth/register", map[string]any{"name": "x", "password": password, "roles": []string{"God"}})
	require.Equal(t, 422, status, body)
	status, body = s.call(eve, http.MethodGet, "/api/user/eve", nil)
	require.Equal(t, 200, status)
	require.NotContains(t, body, "password")
	status, _ = s.call("", http.MethodPost, "/api/auth/login", map[string]string{"username": "eve", "password": "wrong password"})
	require.Equal(t, 401, status)
	status, _ = s.call("", http.MethodPost, "/api/auth/login", map[string]string{"username": "eve", "password": password, "organization_name": "no"})
	require.Equal(t, 404, status)

	_, body = s.call("", http.MethodPost, "/api/auth/login", map[string]string{"username": "eve", "password": password})
	refresh := body.(map[string]any)["refresh_token"].(string)
	status, body = s.call(refresh, http.MethodPost, "/api/auth/refresh", nil)
	require.Equal(t, 200, status)
	fresh := body.(map[string]any)["token"].(string)
	status, _ = s.call(fresh, http.MethodPost, "/api/auth/logout", nil)
	require.Equal(t, 200, status)
	status, _ = s.call(fresh, http.MethodGet, "/api/applications", nil)
	require.Equal(t, 401, status)

	status, _ = s.call(eve, http.MethodPost, "/api/user/eve", map[string]string{"oldPassword": password, "newPassword": "another password"})
	require.Equal(t, 200, status)
	status, _ = s.call(eve, http.MethodGet, "/api/applications", nil)
	require.Equal(t, 401, status, "logins end with the password")
	s.ok(http.MethodDelete, "/api/user/eve", nil)
	require.Len(t, s.ok(http.MethodGet, "/api/users/", nil), 1)
}

// TestClustersOfALaterVersionAreUnderstood says on each route of clusters something that this version does not know: of another version, it is
// passed over.
func TestClustersOfALaterVersionAreUnderstood(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 1)
	tested := 0
	for _, rt := range s.root.handler.(*echo.Echo).Routes() {
		if rt.Method != http.MethodPost || !slices.Contains(clusterRoutes, rt.Path) && rt.Path != wire.PathClusterJoin {
			continue
		}
		tested++
		_, got, err := request(c.client, "", rt.Method, s.tls+strings.ReplaceAll(rt.Path, ":id", c.id), map[string]any{"of_a_later_version": []any{1}})
		require.NoError(t, err)
		answer, _ := got.(map[string]any)
		require.NotEqual(t, "unknown_field", answer["code"], "%s: %v", rt.Path, got)
	}
	require.Greater(t, tested, 3)
}
