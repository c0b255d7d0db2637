// SPDX-License-Identifier: Apache-2.0

package root

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// TestBadInput sends what the API has to refuse: each with a 4xx that names the place, and the server is as it was.
func TestBadInput(t *testing.T) {
	s := start(t)
	const (
		top     = "$.applications[0]"
		service = top + ".microservices[0]"
	)
	with := func(fields string) string {
		return `{"sla_version":"v2.0","customerID":"x","applications":[{"applicationID":"","application_name":"bad","application_namespace":"ns",
			"microservices":[{"microserviceID":"","microservice_name":"svc","microservice_namespace":"ns","virtualization":"container","code":"c:1",` + fields + `}]}]}`
	}
	named := func(name string) string {
		text, err := json.Marshal(name)
		require.NoError(t, err)
		return strings.Replace(with(`"memory":1`), `"application_name":"bad"`, `"application_name":`+string(text), 1)
	}
	cases := map[string]struct {
		body   string
		status int
		path   string
	}{
		"10 MB":              {with(`"cmd":["` + strings.Repeat("x", 10<<20) + `"]`), 413, ""},
		"10 MB of spaces":    {strings.Repeat(" ", 10<<20), 413, ""},
		"nested":             {strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), 422, "$"},
		"nested arrays":      {with(`"args":` + strings.Repeat("[", 100) + strings.Repeat("]", 100)), 422, "$"},
		"nested far too far": {strings.Repeat("[", 500_000), 400, ""},
		"duplicate key":      {with(`"memory":1,"memory":2`), 422, service + ".memory"},
		"escaped duplicate":  {with(`"memory":1,"m\u0065mory":2`), 422, service + ".memory"},
		"unknown field":      {with(`"mystery":1`), 422, service + ".mystery"},
		"misspelt field":     {with(`"vcpu":1`), 422, service + ".vcpu"},
		"unknown at the top": {strings.Replace(with(`"memory":1`), `"customerID"`, `"surprise":1,"customerID"`, 1), 422, "$.surprise"},
		"negative":           {with(`"memory":-1`), 422, service + ".memory"},
		"NaN":                {with(`"memory":NaN`), 400, ""},
		"NaN as text":        {with(`"memory":"NaN"`), 422, service + ".memory"},
		"infinity":           {with(`"memory":1e999`), 422, service + ".memory"},
		"huge":               {with(`"vcpus":99999999999999999999999999`), 422, service + ".vcpus"},
		"fraction":           {with(`"vcpus":0.5`), 422, service + ".vcpus"},
		"100,000 replicas":   {with(`"replicas":100000`), 422, service + ".replicas"},
		"negative replicas":  {with(`"replicas":-1`), 422, service + ".replicas"},
		"overlapping ports":  {with(`"port":"80:80;80:81"`), 422, service + ".port"},
		"no port":            {with(`"port":"70000"`), 422, service + ".port"},
		"no JSON":            {`sla_version: v2.0`, 400, ""},
		"two values":         {with(`"memory":1`) + `{}`, 400, ""},
		"wrong shape":        {`[]`, 422, "$"},
	}
	for _, name := range []string{"a/b", "a+b", "a#b", "..", "a\nb", "", "a b", strings.Repeat("x", 31), "é", "a\x00b"} {
		cases[fmt.Sprintf("name %.20q", name)] = struct {
			body   string
			status int
			path   string
		}{named(name), 422, top + ".application_name"}
	}
	before := s.ok(http.MethodGet, "/api/applications", nil)
	for name, tc := range cases {
		for _, route := range []string{"/api/application", "/api/service"} {
			status, answer := s.call(s.admin, http.MethodPost, route, tc.body)
			require.Equal(t, tc.status, status, "%s at %s: %v", name, route, answer)
			problem := answer.(map[string]any)
			require.NotEmpty(t, problem["code"], name)
			require.NotEmpty(t, problem["message"], name)
			if tc.path != "" {
				require.Equal(t, tc.path, problem["path"], "%s: %v", name, problem)
			}
		}
	}
	require.Equal(t, before, s.ok(http.MethodGet, "/api/applications", nil), "nothing of it was stored")
	s.ok(http.MethodGet, "/healthz", nil)
	s.register(s.admin, "good", map[string]any{})

	// The same of the other bodies.
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
		at                 string
	}{
		"unknown field":  {"POST", "/api/auth/register", `{"name":"a","password":"a good password","age":3}`, 422, "$.age"},
		"duplicate":      {"POST", "/api/auth/register", `{"name":"a","password":"a good password","name":"b"}`, 400, "$.name"},
		"nested":         {"POST", "/api/auth/register", `{"created_at":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, 400, "$"},
		"wrong type":     {"POST", "/api/auth/register", `{"name":7}`, 422, "$.name"},
		"wrong role":     {"POST", "/api/auth/register", `{"name":"a","password":"a good password","roles":["God"]}`, 422, "$.roles"},
		"line break":     {"POST", "/api/auth/register", `{"name":"a\nb","password":"a good password"}`, 422, "$.name"},
		"huge number":    {"POST", "/api/v1/tokens", `{"uses":1e400}`, 422, "$.uses"},
		"negative":       {"POST", "/api/v1/tokens", `{"ttl_s":-5}`, 422, "$.ttl_s"},
		"unknown change": {"PUT", "/api/user/Admin", `{"pasword":"a good password"}`, 422, "$.pasword"},
		"name":           {"POST", "/api/organization", `{"name":""}`, 422, "$.name"},
	} {
		status, answer := s.call(s.admin, tc.method, tc.path, tc.body)
		require.Equal(t, tc.status, status, "%s: %v", name, answer)
		require.Equal(t, tc.at, answer.(map[string]any)["path"], name)
	}
}

// Of two that create the same at once exactly one succeeds, and the other is told.
func TestOneOfTwoCreatesOfAName(t *testing.T) {
	s := start(t)
	app := s.ok(http.MethodGet, "/api/service/"+s.register(s.admin, "app", map[string]any{}), nil).(map[string]any)["applicationID"]
	more := descriptor("app", map[string]any{"microservice_name": "more"})
	more["applications"].([]any)[0].(map[string]any)["applicationID"] = app
	for path, body := range map[string]any{
		"/api/application": descriptor("both", map[string]any{}), "/api/service": more,
		"/api/auth/register": map[string]any{"name": "both", "password": password}, "/api/organization": map[string]any{"name": "both"},
	} {
		statuses := make([]int, 6)
		var group sync.WaitGroup
		for i := range statuses {
			group.Go(func() { statuses[i], _, _ = request(http.DefaultClient, s.admin, http.MethodPost, s.plain+path, body) })
		}
		group.Wait()
		slices.Sort(statuses)
		require.Equal(t, []int{200, 409, 409, 409, 409, 409}, statuses, path)
	}
}

// Whoever scales up while others delete gets an instance that is then deleted, or is told that there is no service. Nothing is left.
func TestScaleAgainstDelete(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 4)
	for round := range 5 {
		service := s.register(s.admin, fmt.Sprintf("app%d", round), map[string]any{})
		path := "/api/service/" + service
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				method, target, allowed := http.MethodPost, path+"/instance", []int{200, 404}
				if i == 4 {
					method, target = http.MethodDelete, path
				}
				status, answer, err := request(http.DefaultClient, s.admin, method, s.plain+target, nil)
				if err != nil || !slices.Contains(allowed, status) {
					t.Errorf("%s %s: %d %v %v", method, target, status, answer, err)
				}
			})
		}
		group.Wait()
		s.wants(404, s.admin, http.MethodPost, path+"/instance", nil)
		d := c.desired(wire.Stamp{}, 0)
		for _, i := range d.Changed {
			require.NotEqual(t, service, i.ServiceID, "nothing of it is wanted")
		}
		for _, stone := range d.Removed {
			c.say(stone.InstanceKey, stone.Generation.Placement, 0, wire.StateUndeployed)
		}
	}
	var left int
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM service) + (SELECT count(*) FROM instance) + (SELECT count(*) FROM tombstone)
		+ (SELECT count(*) FROM address WHERE released_at IS NULL)`).Scan(&left))
	require.Zero(t, left, "rows and addresses of deleted services")
}

// What is deleted while its worker still pulls the image ends all the same.
func TestDeleteWhileAnImageIsPulled(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 4)
	service := s.register(s.admin, "app", map[string]any{})
	number, _ := s.deploy(service)
	key := wire.InstanceKey{ServiceID: service, Number: number}
	c.say(key, 1, 1, wire.StateCreating)
	s.ok(http.MethodDelete, "/api/service/"+service, nil)
	s.wants(404, s.admin, http.MethodGet, "/api/service/"+service, nil)
	d := c.desired(wire.Stamp{}, 0)
	require.Empty(t, d.Changed)
	require.Len(t, d.Removed, 1)
	// The worker had not heard of it yet, and goes on for a moment.
	c.say(key, 1, 1, wire.StateCreated)
	c.say(key, 1, 1, wire.StateRunning)
	require.Len(t, c.desired(wire.Stamp{}, 0).Removed, 1, "repeated until it is gone")
	c.say(key, 1, 1, wire.StateUndeployed)
	require.Empty(t, c.desired(wire.Stamp{}, 0).Removed)
	var left int
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT count(*) FROM service`).Scan(&left))
	require.Zero(t, left)
}
