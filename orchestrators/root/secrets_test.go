// SPDX-License-Identifier: Apache-2.0

package root

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/vault"
)

const secretWord = "xyzzy-plugh-8c1f"

// fetch asks root for a secret, as the cluster.
func (c *fakeCluster) fetch(organization, name string, version int) (int, string) {
	c.s.t.Helper()
	var answer wire.SecretResponse
	status := c.send(http.MethodPost, c.url(wire.PathClusterSecrets), wire.SecretRequest{Format: wire.Format, Organization: organization, Name: name, Version: version}, &answer)
	return status, string(answer.Value)
}

// everything returns all that the API tells of secrets and services, as text.
func (s *system) everything(service string) string {
	var all []string
	for _, path := range []string{
		"/api/v1/secrets", "/api/v1/secrets/db", "/api/service/" + service, "/api/services", "/api/applications", "/api/v1/instances",
		"/api/v1/service/" + service + "/revisions", "/api/v1/service/" + service + "/rollout", "/api/v1/service/" + service + "/events",
	} {
		text, err := json.Marshal(s.ok(http.MethodGet, path, nil))
		require.NoError(s.t, err)
		all = append(all, string(text))
	}
	return strings.Join(all, "\n")
}

func TestSecretGoesOnlyToWhoRunsIt(t *testing.T) {
	s := start(t)
	c, other := s.joinWith("c1", 4), s.joinWith("c2", 0)
	made := s.ok(http.MethodPost, "/api/v1/secrets", map[string]any{"name": "db", "value": secretWord}).(map[string]any)
	require.EqualValues(t, 1, made["version"])
	require.Equal(t, "opaque", made["type"])
	s.ok(http.MethodPost, "/api/v1/secrets", map[string]any{"name": "unused", "value_base64": base64.StdEncoding.EncodeToString([]byte{0, 1, 255})})
	s.ok(http.MethodPost, "/api/v1/secrets", map[string]any{"name": "hub", "registry": map[string]any{"server": "registry.example", "username": "u", "password": secretWord}})
	fields := map[string]any{
		"replicas": 1, "registry_credentials": "hub",
		"secrets": []any{map[string]any{"name": "db", "env": "DB"}, map[string]any{"name": "db", "file": "/run/db"}},
	}
	service := s.register(s.admin, "app", fields)
	run := func() bool { o := s.rollout(service); return o.Available == 1 && o.State == rolloutComplete }
	c.until(fine, "it runs", run)

	// Desired state names it; the value comes on demand, to the cluster that has the instance alone.
	spec := c.desired(wire.Stamp{}, 0).Changed[0].Spec
	require.Equal(t, []wire.SecretRef{{Name: "db", Version: 1, Env: "DB"}, {Name: "db", Version: 1, File: "/run/db"}}, spec.Secrets)
	require.Equal(t, &wire.SecretRef{Name: "hub", Version: 1}, spec.RegistryCredentials)
	status, value := c.fetch(spec.Organization, "db", 1)
	require.Equal(t, 200, status)
	require.Equal(t, secretWord, value)
	status, value = c.fetch(spec.Organization, "hub", 1)
	require.Equal(t, 200, status)
	require.JSONEq(t, `{"server":"registry.example","username":"u","password":"`+secretWord+`"}`, value)
	for _, refused := range []func() (int, string){
		func() (int, string) { return other.fetch(spec.Organization, "db", 1) },
		func() (int, string) { return c.fetch(spec.Organization, "db", 2) },
		func() (int, string) { return c.fetch(spec.Organization, "unused", 1) },
		func() (int, string) { return c.fetch("ffffffffffffffffffffffff", "db", 1) },
	} {
		status, _ := refused()
		require.Equal(t, 403, status)
	}
	url := strings.Replace(c.url(wire.PathClusterSecrets), s.tls, s.plain, 1)
	status, _, err := request(http.DefaultClient, s.admin, http.MethodPost, url, wire.SecretRequest{Organization: spec.Organization, Name: "db", Version: 1})
	require.NoError(t, err)
	require.Equal(t, 401, status, "no certificate")

	// A new version brings the instance along; going back to an older descriptor does not bring back an older value.
	s.ok(http.MethodPut, "/api/v1/secrets/db", map[string]any{"value": "new-" + secretWord})
	c.until(fine, "changed over", func() bool { return s.rollout(service).Revision == 2 && run() })
	now := c.desired(wire.Stamp{}, 0).Changed[0]
	require.EqualValues(t, 2, now.Placement)
	require.Equal(t, 2, now.Spec.Secrets[0].Version)
	status, value = c.fetch(spec.Organization, "db", 2)
	require.Equal(t, 200, status)
	require.Equal(t, "new-"+secretWord, value)
	status, _ = c.fetch(spec.Organization, "db", 1)
	require.Equal(t, 403, status, "nothing refers to it any more")
	// New credentials for the registry stop nothing.
	s.ok(http.MethodPut, "/api/v1/secrets/hub", map[string]any{"registry": map[string]any{"server": "registry.example", "username": "u", "password": "p"}})
	s.ok(http.MethodPut, "/api/v1/secrets/db", map[string]any{"value": "later", "restart": false})
	require.Equal(t, 2, s.rollout(service).Revision)

	// It is told nowhere, and the database does not hold it.
	require.NotContains(t, s.everything(service), secretWord)
	require.NotContains(t, dump(t, s), secretWord)
	require.NotContains(t, dump(t, s), base64.StdEncoding.EncodeToString([]byte(secretWord)))
	require.NotContains(t, dump(t, s), fmt.Sprintf("%x", secretWord))

	status, body := s.call(s.admin, http.MethodDelete, "/api/v1/secrets/db", nil)
	require.Equal(t, 409, status, body)
	require.Contains(t, body.(map[string]any)["detail"], "app.test.svc0.test")
	s.ok(http.MethodDelete, "/api/v1/secrets/unused", nil)
	s.ok(http.MethodDelete, "/api/v1/secrets/db?force=true", nil)
	status, _ = s.call(s.admin, http.MethodGet, "/api/v1/secrets/db", nil)
	require.Equal(t, 404, status)
	status, _ = c.fetch(spec.Organization, "db", 2)
	require.Equal(t, 403, status)
}

// dump is all rows of all tables, as text.
func dump(t *testing.T, s *system) string {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`)
	require.NoError(t, err)
	var all bytes.Buffer
	var tables []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		tables = append(tables, name)
	}
	require.NoError(t, rows.Err())
	require.Greater(t, len(tables), 15)
	for _, name := range tables {
		var text *string
		require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT string_agg(t::text, E'\n') FROM "`+name+`" t`).Scan(&text))
		if text != nil {
			all.WriteString(*text)
		}
	}
	return all.String()
}

func TestSecretsAreChecked(t *testing.T) {
	s := start(t)
	create := func(token string, body any) (int, map[string]any) {
		status, answer := s.call(token, http.MethodPost, "/api/v1/secrets", body)
		return status, answer.(map[string]any)
	}
	for path, bad := range map[string]map[string]any{
		"$.name":              {"name": "Not/a name", "value": secretWord},
		"$":                   {"name": "x"},
		"$.value":             {"name": "x", "value": strings.Repeat(secretWord, wire.MaxSecretBytes/len(secretWord)+1)},
		"$.value_base64":      {"name": "x", "value_base64": secretWord},
		"$.type":              {"name": "x", "type": "registry", "value": secretWord},
		"$.registry.server":   {"name": "x", "registry": map[string]any{"server": "https://x/" + secretWord, "username": "u"}},
		"$.registry.username": {"name": "x", "registry": map[string]any{"server": "x", "username": secretWord + ":"}},
	} {
		status, body := create(s.admin, bad)
		require.Equal(t, 422, status, body)
		require.Equal(t, path, body["path"])
		require.NotContains(t, body["message"], secretWord)
	}
	status, body := create(s.admin, map[string]any{"name": "x", "value": 4711471147})
	require.Equal(t, 422, status)
	require.NotContains(t, body["message"], "4711")
	status, _ = create(s.admin, map[string]any{"name": "mine", "value": "1"})
	require.Equal(t, 200, status)
	status, _ = create(s.admin, map[string]any{"name": "mine", "value": "1"})
	require.Equal(t, 409, status)

	// Another user of the organisation may use what is shared, and neither see nor use the rest.
	bob := s.user("bob")
	refer := func(name, key string) int {
		m := map[string]any{"secrets": []any{map[string]any{"name": name, "env": "A"}}}
		if key != "secrets" {
			m = map[string]any{key: name}
		}
		status, answer := s.call(bob, http.MethodPost, "/api/application", descriptor("bobs", m))
		if status == 422 {
			require.Contains(t, answer.(map[string]any)["path"], "$.applications[0].microservices[0]."+key)
		}
		return status
	}
	require.Equal(t, 422, refer("mine", "secrets"))
	status, _ = s.call(bob, http.MethodGet, "/api/v1/secrets/mine", nil)
	require.Equal(t, 404, status)
	_, list := s.call(bob, http.MethodGet, "/api/v1/secrets", nil)
	require.Empty(t, list)
	s.ok(http.MethodPut, "/api/v1/secrets/mine", map[string]any{"shared": true})
	_, list = s.call(bob, http.MethodGet, "/api/v1/secrets", nil)
	require.Len(t, list, 1)
	require.EqualValues(t, 1, list.([]any)[0].(map[string]any)["version"])
	status, _ = s.call(bob, http.MethodPut, "/api/v1/secrets/mine", map[string]any{"value": "2"})
	require.Equal(t, 404, status, "using is not changing")
	require.Equal(t, 422, refer("mine", "registry_credentials"), "it is of another type")
	require.Equal(t, 200, refer("mine", "secrets"))
}

func TestRootWithAnotherKeyDoesNotStart(t *testing.T) {
	s := start(t)
	two, err := vault.New(bytes.Repeat([]byte{8}, vault.KeyBytes))
	require.NoError(t, err)
	cfg := Config{Ranges: s.root.ranges, Vault: two, Log: slog.New(slog.DiscardHandler)}
	_, err = New(t.Context(), s.pool, cfg)
	require.NoError(t, err, "there are no secrets yet")
	status, _ := s.call(s.admin, http.MethodPost, "/api/v1/secrets", map[string]any{"name": "a", "value": "b"})
	require.Equal(t, 200, status, "who stores the first secret decides")
	_, err = New(t.Context(), s.pool, cfg)
	require.ErrorContains(t, err, "--secrets-key-file")
}
