// SPDX-License-Identifier: Apache-2.0

package root

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

// exchange is call with headers; it returns those of the answer too.
func (s *system) exchange(token, method, path string, body any, header ...string) (int, string, http.Header) {
	s.t.Helper()
	text, err := json.Marshal(body)
	require.NoError(s.t, err)
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.plain+path, bytes.NewReader(text))
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp.StatusCode, string(answer), resp.Header
}

// One of two who change what both have read is told, and the other's change stays.
func TestChangesDependOnWhatWasRead(t *testing.T) {
	s := start(t)
	service := s.register(s.admin, "app", map[string]any{})
	app := s.ok(http.MethodGet, "/api/service/"+service, nil).(map[string]any)["applicationID"].(string)
	s.user("eve")
	s.ok(http.MethodPost, "/api/organization", map[string]any{"name": "acme"})
	for path, change := range map[string]map[string]any{
		"/api/application/" + app:                       {"application_desc": "changed"},
		"/api/user/eve":                                 {"email": "eve@example.org"},
		"/api/organization/" + s.organizationID("acme"): {"name": "acme2"},
	} {
		status, body, header := s.exchange(s.admin, http.MethodGet, path, nil)
		require.Equal(t, 200, status, body)
		tag := header.Get("ETag")
		require.NotEmpty(t, tag, path)
		status, _, _ = s.exchange(s.admin, http.MethodGet, path, nil, "If-None-Match", tag)
		require.Equal(t, 304, status, path)
		status, body, _ = s.exchange(s.admin, http.MethodPut, path, change, "If-Match", `"0123"`)
		require.Equal(t, 412, status, body)
		status, body, _ = s.exchange(s.admin, http.MethodPut, path, change, "If-Match", tag)
		require.Equal(t, 200, status, body)
		status, body, _ = s.exchange(s.admin, http.MethodPut, path, change, "If-Match", tag)
		require.Equal(t, 412, status, body)
		require.Contains(t, body, "changed_meanwhile")
		status, body, _ = s.exchange(s.admin, http.MethodPut, path, change)
		require.Equal(t, 200, status, body)
	}
	path := "/api/service/" + service
	s.deploy(service)
	_, doc, before := s.exchange(s.admin, http.MethodGet, path, nil)
	require.NotEmpty(t, before.Get("ETag"))
	s.deploy(service)
	_, _, after := s.exchange(s.admin, http.MethodGet, path, nil)
	require.Equal(t, before.Get("ETag"), after.Get("ETag"), "what runs is not what a client changes")
	var changed map[string]any
	require.NoError(t, json.Unmarshal([]byte(doc), &changed))
	changed["memory"] = 101
	for i, want := range []int{200, 412} {
		status, body, _ := s.exchange(s.admin, http.MethodPut, path, changed, "If-Match", before.Get("ETag"))
		require.Equal(t, want, status, "%d: %s", i, body)
	}
}

func TestCreatesCanBeRepeated(t *testing.T) {
	s := start(t)
	s.joinWith("c1", 4)
	service := s.register(s.admin, "app", map[string]any{})
	app := s.ok(http.MethodGet, "/api/service/"+service, nil).(map[string]any)["applicationID"].(string)
	added := descriptor("app", map[string]any{"microservice_name": "more"})
	added["applications"].([]any)[0].(map[string]any)["applicationID"] = app
	for path, body := range map[string]any{
		"/api/application":                      descriptor("other", map[string]any{}),
		"/api/service":                          added,
		"/api/service/" + service + "/instance": nil,
		"/api/auth/register":                    map[string]any{"name": "eve", "password": password},
		"/api/organization":                     map[string]any{"name": "acme"},
	} {
		key := []string{"Idempotency-Key", "key of " + path}
		status, first, header := s.exchange(s.admin, http.MethodPost, path, body, key...)
		require.Equal(t, 200, status, first)
		require.Empty(t, header.Get("Idempotency-Replayed"))
		for range 2 {
			status, again, header := s.exchange(s.admin, http.MethodPost, path+"/", body, key...)
			require.Equal(t, 200, status, again)
			require.Equal(t, first, again, path)
			require.Equal(t, "true", header.Get("Idempotency-Replayed"))
		}
		status, again, _ := s.exchange(s.admin, http.MethodPost, path, map[string]any{"name": "x"}, key...)
		require.Equal(t, 422, status, again)
		require.Contains(t, again, "key_reused")
	}
	require.Len(t, s.instances(service), 1)

	// What failed is not remembered; keys are one's own; a day later a key is as new.
	instance := "/api/service/" + service + "/instance"
	for range 2 {
		status, body, header := s.exchange(s.admin, http.MethodPost, "/api/auth/register", map[string]any{"name": "x", "password": "short"}, "Idempotency-Key", "k")
		require.Equal(t, 422, status, body)
		require.Empty(t, header.Get("Idempotency-Replayed"))
	}
	status, body, _ := s.exchange(s.admin, http.MethodPost, instance, nil, "Idempotency-Key", "k")
	require.Equal(t, 200, status, body)
	status, body, _ = s.exchange(s.login("", "eve"), http.MethodPost, instance, nil, "Idempotency-Key", "k")
	require.Equal(t, 404, status, body)
	_, err := s.pool.Exec(t.Context(), `UPDATE idempotency_key SET created_at = now() - interval '25 hours'`)
	require.NoError(t, err)
	status, body, header := s.exchange(s.admin, http.MethodPost, instance, nil, "Idempotency-Key", "k")
	require.Equal(t, 200, status, body)
	require.Empty(t, header.Get("Idempotency-Replayed"))
	require.Len(t, s.instances(service), 3)
	for _, bad := range []string{strings.Repeat("x", maxKey+1), "tab\tin it"} {
		status, body, _ = s.exchange(s.admin, http.MethodPost, instance, nil, "Idempotency-Key", bad)
		require.Equal(t, 400, status, body)
	}
}

// Many at once with one key create one thing, and all are answered alike.
func TestOneKeyAtOnceCreatesOneThing(t *testing.T) {
	s := start(t)
	s.joinWith("c1", 4)
	service := s.register(s.admin, "app", map[string]any{})
	for path, body := range map[string]any{
		"/api/service/" + service + "/instance": nil,
		"/api/organization":                     map[string]any{"name": "acme"},
	} {
		var group sync.WaitGroup
		answers := make([]string, 8)
		for i := range answers {
			group.Go(func() {
				status, answer, _ := s.exchange(s.admin, http.MethodPost, path, body, "Idempotency-Key", "k"+path)
				answers[i] = fmt.Sprint(status, answer)
			})
		}
		group.Wait()
		for _, a := range answers {
			require.Equal(t, answers[0], a)
		}
		require.True(t, strings.HasPrefix(answers[0], "200"), answers[0])
	}
	require.Len(t, s.instances(service), 1)
}

func TestListsInPages(t *testing.T) {
	s := start(t)
	s.joinWith("c1", 4)
	var service string
	for i := range 5 {
		service = s.register(s.admin, fmt.Sprintf("app%d", i), map[string]any{})
		s.user(fmt.Sprintf("user%d", i))
		s.ok(http.MethodPost, "/api/organization", map[string]any{"name": fmt.Sprintf("org%d", i)})
	}
	for range 5 {
		s.deploy(service)
	}
	for _, path := range []string{"/api/applications", "/api/applications/Admin", "/api/services", "/api/v1/instances", "/api/v1/instances?service=" + service,
		"/api/v1/service/" + service + "/events", "/api/users", "/api/organization"} {
		_, whole, _ := s.exchange(s.admin, http.MethodGet, path, nil)
		var all, got []any
		require.NoError(t, json.Unmarshal([]byte(whole), &all))
		require.GreaterOrEqual(t, len(all), 5, path)
		joint := "?"
		if strings.Contains(path, "?") {
			joint = "&"
		}
		for next := path + joint + "limit=2"; next != ""; {
			status, text, header := s.exchange(s.admin, http.MethodGet, next, nil)
			require.Equal(t, 200, status, text)
			var part []any
			require.NoError(t, json.Unmarshal([]byte(text), &part))
			require.LessOrEqual(t, len(part), 2)
			got = append(got, part...)
			require.LessOrEqual(t, len(got), len(all), path)
			next, _, _ = strings.Cut(strings.TrimPrefix(header.Get("Link"), "<"), ">")
		}
		require.ElementsMatch(t, all, got, path)
		for _, bad := range []string{"limit=0", "cursor=W10", "cursor=WyIiLCIiXQ", "cursor=WyIiXQ"} {
			status, text, _ := s.exchange(s.admin, http.MethodGet, path+joint+bad, nil)
			if status != 200 || bad != "cursor=WyIiXQ" { // which is a cursor of some lists
				require.Equal(t, 422, status, "%s %s: %s", path, bad, text)
			}
		}
	}
}

func TestUsersAreLimited(t *testing.T) {
	s := start(t)
	s.root.perUser = httpapi.NewLimiter(1)
	eve := s.user("eve")
	refused := 0
	for range 20 {
		status, body, header := s.exchange(eve, http.MethodGet, "/api/services", nil)
		if status == 429 {
			refused++
			require.Contains(t, body, "too_many_requests")
			require.NotEmpty(t, header.Get("Retry-After"))
		}
	}
	require.Positive(t, refused)
	s.wants(200, s.admin, http.MethodGet, "/api/services", nil)
}
