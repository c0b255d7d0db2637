// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// apiDocument is what a client finds at the place where the original has it.
type apiDocument map[string]any

func (s *system) document() apiDocument {
	s.t.Helper()
	status, body := s.call("", http.MethodGet, "/docs/openapi.json", nil)
	require.Equal(s.t, 200, status)
	return body.(map[string]any)
}

func (d apiDocument) at(path ...string) map[string]any {
	here := map[string]any(d)
	for _, p := range path {
		here, _ = here[p].(map[string]any)
	}
	return here
}

// TestEveryRouteIsDescribed: no route is forgotten, and none described that is not there.
func TestEveryRouteIsDescribed(t *testing.T) {
	s := start(t)
	d := s.document()
	require.True(t, strings.HasPrefix(d["openapi"].(string), "3.1."), d["openapi"])
	described := map[string]bool{}
	for path, methods := range d.at("paths") {
		for method, op := range methods.(map[string]any) {
			name := strings.ToUpper(method) + " " + path
			described[name] = true
			op := op.(map[string]any)
			require.NotEmpty(t, op["summary"], name)
			require.NotNil(t, apiDocument(op).at("responses", "default", "content", "application/problem+json")["schema"], name)
			parameters, _ := op["parameters"].([]any)
			for _, part := range strings.Split(path, "/") {
				if inner, ok := strings.CutPrefix(part, "{"); ok {
					require.True(t, slices.ContainsFunc(parameters, func(p any) bool {
						m := p.(map[string]any)
						return m["name"] == strings.TrimSuffix(inner, "}") && m["in"] == "path" && m["required"] == true
					}), "%s says nothing of %s", name, part)
				}
			}
		}
	}
	hidden := []string{"/healthz", "/readyz", "/metrics", "/api/docs", "/docs/openapi.json"}
	for _, rt := range s.root.handler.(*echo.Echo).Routes() {
		if slices.Contains(hidden, rt.Path) {
			continue
		}
		parts := strings.Split(rt.Path, "/")
		for i, p := range parts {
			if strings.HasPrefix(p, ":") {
				parts[i] = "{" + p[1:] + "}"
			}
		}
		name := rt.Method + " " + strings.Join(parts, "/")
		require.True(t, described[name], name)
		delete(described, name)
	}
	require.Empty(t, described)

	status, page, err := request(http.DefaultClient, "", http.MethodGet, s.plain+"/api/docs/", nil)
	require.NoError(t, err)
	require.Equal(t, 200, status, page)
	require.Contains(t, page, "/docs/openapi.json")
}

// TestAnswersAreAsDescribed holds what routes answer against what the document says of it.
func TestAnswersAreAsDescribed(t *testing.T) {
	s := start(t)
	worker := pki.NewID()
	s.joinWith("c1", 1).tells(func() wire.WorkerList {
		return wire.WorkerList{Workers: []wire.WorkerView{{ID: worker, Mode: wire.WorkerOpen, Runtimes: []string{"container"}, Subnets: []netip.Prefix{}}}}
	})
	eve, _ := s.member("acme", "eve")
	service := s.register(s.admin, "app", map[string]any{"port": "80", "cmd": []string{"a"}, "constraints": []any{map[string]any{"type": "direct", "cluster": "c1"}}})
	s.register(eve, "other", map[string]any{})
	s.deploy(service)
	s.newToken(1)
	s.ok(http.MethodPost, "/api/v1/secrets", map[string]any{"name": "described", "value": "x"})
	s.sendFile(s.admin, "a.json", "{}")
	shown := s.ok(http.MethodGet, "/api/service/"+service, nil).(map[string]any)
	d := s.document()
	fill := strings.NewReplacer("{service}", service, "{secret}", "described", "{application}", shown["applicationID"].(string), "{name}", "Admin",
		"{organization}", s.organizationID("acme"), "{address}", shown["RR_ip"].(string), "{count}", "2", "{number}", "0", "{worker}", worker)
	tested := 0
	lasting := []string{} // answer with text or messages, for as long as it takes
	for _, rt := range s.root.streamRoutes() {
		lasting = append(lasting, regexp.MustCompile(`:(\w+)`).ReplaceAllString(rt.path, "{$1}"))
	}
	for _, path := range slices.Sorted(maps.Keys(d.at("paths"))) {
		if d.at("paths", path, "get") == nil || slices.Contains(lasting, path) || strings.HasPrefix(path, "/api/v1/clusters/") || path == pathUploads+"/{upload}" {
			continue
		}
		tested++
		answer := s.ok(http.MethodGet, fill.Replace(path), nil)
		if list, ok := answer.([]any); ok {
			require.NotEmpty(t, list, path)
		}
		d.fits(t, "GET "+path, d.at("paths", path, "get", "responses", "200", "content", "application/json", "schema"), answer)
	}
	require.Greater(t, tested, 15)
	for path, answer := range map[string]any{
		"/api/auth/login":                 s.wants(200, "", http.MethodPost, "/api/auth/login", map[string]string{"username": "Admin", "password": password}),
		"/api/service/{service}/instance": s.ok(http.MethodPost, "/api/service/"+service+"/instance", nil),
	} {
		d.fits(t, "POST "+path, d.at("paths", path, "post", "responses", "200", "content", "application/json", "schema"), answer)
	}
	d.fits(t, "a problem", apiDocument{"x": d.at("paths", "/api/users", "get")}.at("x", "responses", "default", "content", "application/problem+json", "schema"),
		s.wants(403, eve, http.MethodGet, "/api/users", nil))
}

// fits holds a value against a schema: of each object in it all keys are described, and each value has one of its types.
func (d apiDocument) fits(t *testing.T, where string, schema map[string]any, value any) {
	t.Helper()
	require.NotEmpty(t, schema, "%s is not described", where)
	if ref, ok := schema["$ref"].(string); ok {
		schema = d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		require.NotNil(t, schema, "%s: %s", where, ref)
	}
	kinds := fmt.Sprint(schema["type"])
	switch v := value.(type) {
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		more, open := schema["additionalProperties"].(map[string]any)
		for key, inner := range v {
			p, ok := properties[key].(map[string]any)
			if !ok && open {
				p, ok = more, true
			}
			if !ok && properties[key] != nil {
				continue // anything
			}
			require.True(t, ok, "%s: the document says nothing of %s", where, key)
			if len(p) > 0 {
				d.fits(t, where+"."+key, p, inner)
			}
		}
	case []any:
		require.Contains(t, kinds, "array", where)
		items, _ := schema["items"].(map[string]any)
		for i, inner := range v {
			d.fits(t, fmt.Sprintf("%s[%d]", where, i), items, inner)
		}
	case string:
		require.Contains(t, kinds, "string", where)
	case bool:
		require.Contains(t, kinds, "boolean", where)
	case float64:
		require.Regexp(t, "number|integer", kinds, where)
	case nil:
		require.Contains(t, kinds, "null", where)
	}
}
