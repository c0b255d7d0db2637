// SPDX-License-Identifier: Apache-2.0

package root

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// TestNoRequestIsAnInternalError sends to every route what programs stumble over. Whatever it is, it is told apart from a
// fault of root's own.
func TestNoRequestIsAnInternalError(t *testing.T) {
	s := start(t)
	bodies := []string{``, `null`, `[]`, `"x"`, `{}`, `{"x":`, "\x00", `{"a":"\ud800"}`,
		`{"username":"\u0000","name":"a\u0000b","password":"a good password","organization_name":"\u0000"}`,
		`{"username":"Admin","password":"\u0000","organization_name":"ro\u0000ot"}`,
		`{"name":"ab","email":"\u0000","password":"a good password"}`,
		`{"oldPassword":null,"newPassword":{}}`,
		strings.Repeat(`[`, 200_000), strings.Repeat(`{"applications":[`, 60_000),
		`{"sla_version":"v2.0","customerID":"x","applications":[{"applicationID":"\u0000","application_name":"x","application_namespace":"y","application_desc":"\u0000","microservices":[]}]}`,
	}
	nul := descriptor("nul", map[string]any{"cmd": []string{"a\x00b"}, "environment": []string{"A=\x00"}, "code": "img\x00"})
	odd := strings.NewReplacer(":service", "%00", ":application", "a%00b", ":name", "%00", ":number", "99999999999999999999", ":id", "%00",
		":organization", "%00", ":address", "%00", ":count", "-1")
	wide := strings.NewReplacer(":service", "ü%ff%fe", ":application", "%ff", ":name", "%c3%28", ":number", "2147483648", ":id", "%ff",
		":organization", "%ff", ":address", "::ffff:10.0.0.1%25x", ":count", "65")
	for _, rt := range s.root.handler.(*echo.Echo).Routes() {
		for _, path := range []string{odd.Replace(rt.Path), wide.Replace(rt.Path), odd.Replace(rt.Path) + "?service=%00&wait=-1&force=%00"} {
			for _, body := range bodies {
				if strings.Contains(rt.Path, "logout") || rt.Path == "/metrics" || rt.Path == "/api/v1/events" {
					continue // the last answers without an end, whatever it is asked: tests of event streams are about it
				}
				status, answer := s.call(s.admin, rt.Method, path, body)
				if m, ok := answer.(map[string]any); ok && status == http.StatusNotImplemented && m["code"] != "" {
					continue // said so
				}
				require.Less(t, status, 500, "%s %s with %.60q: %v", rt.Method, path, body, answer)
			}
		}
	}
	status, answer := s.call(s.admin, http.MethodPost, "/api/application", nul)
	require.Equal(t, 422, status, answer)
	s.register(s.admin, "good", map[string]any{})
}

// TestAPoisonedReportSpoilsNothingElse has a cluster pass on what a worker made up. The rest of the report has to be stored
// all the same: one line of nonsense must not cut a whole cluster off.
func TestAPoisonedReportSpoilsNothingElse(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 4)
	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	s.deploy(service)
	g := wire.Generation{Placement: 1, Move: 1}
	for name, change := range map[string]func(*wire.InstanceReport){
		"restarts":     func(r *wire.InstanceReport) { r.Restarts = math.MaxInt64 },
		"number":       func(r *wire.InstanceReport) { r.Number = math.MaxInt64 },
		"below zero":   func(r *wire.InstanceReport) { r.Number = math.MinInt64 },
		"service":      func(r *wire.InstanceReport) { r.ServiceID = "a\x00b" },
		"detail":       func(r *wire.InstanceReport) { r.Detail = "a\x00b" },
		"long detail":  func(r *wire.InstanceReport) { r.Detail = "a" + strings.Repeat("ä", 100_000) },
		"state":        func(r *wire.InstanceReport) { r.State = "\x00" },
		"made-up":      func(r *wire.InstanceReport) { r.State = "IN_PARADISE" },
		"use":          func(r *wire.InstanceReport) { r.CPUPercent, r.MemoryBytes = math.MaxFloat64, math.MinInt64 },
		"distant past": func(r *wire.InstanceReport) { r.Since = time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 14*3600)) },
		"distant future": func(r *wire.InstanceReport) {
			r.Since = time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -12*3600))
		},
	} {
		r := c.full(4)
		bad := wire.InstanceReport{InstanceKey: wire.InstanceKey{ServiceID: service, Number: 0}, Generation: g, State: wire.StateRunning}
		change(&bad)
		good := wire.InstanceReport{InstanceKey: wire.InstanceKey{ServiceID: service, Number: 1}, Generation: g, State: wire.StateRunning, Detail: name}
		r.Instances = []wire.InstanceReport{bad, good}
		r.Aggregate.Location = "a\x00b"
		r.Aggregate.Addons = []string{"a\x00b"}
		r.Aggregate.Groups[0].Runtime = "container"
		c.report(r)
		list := s.instances(service)
		require.Len(t, list, 2, name)
		require.Equal(t, name, list[1].StatusDetail)
		require.NotEqual(t, wire.State("IN_PARADISE"), list[0].Status, name)
		s.ok(http.MethodGet, "/api/service/"+service, nil)
		s.ok(http.MethodGet, "/api/clusters", nil)
	}
}

// TestNamesakesOfOtherOrganizationsSeeNothingOfEachOther: names of users are unique within an organisation only.
func TestNamesakesOfOtherOrganizationsSeeNothingOfEachOther(t *testing.T) {
	s := start(t)
	for _, org := range []string{"one", "two"} {
		status, body := s.call(s.admin, http.MethodPost, "/api/auth/register",
			map[string]any{"name": map[string]string{"one": "bob", "two": "BOB"}[org], "password": password, "organization_name": org, "email": org + "@example"})
		require.Equal(t, 200, status, body)
	}
	one, two := s.login("one", "bob"), s.login("two", "bob")
	s.register(two, "secret", map[string]any{})
	for _, name := range []string{"bob", "BOB", "Bob"} {
		status, body := s.call(one, http.MethodGet, "/api/applications/"+name, nil)
		require.Equal(t, 200, status, body)
		require.Empty(t, body, name)
		status, body = s.call(one, http.MethodGet, "/api/user/"+name, nil)
		require.Equal(t, 200, status, body)
		require.Equal(t, "one@example", body.(map[string]any)["email"], name)
	}
	// An administrator who deletes one of them has to say which.
	status, body := s.call(s.admin, http.MethodDelete, "/api/user/bob", nil)
	require.Equal(t, 409, status, body)
	_, body = s.call(one, http.MethodGet, "/api/user/bob", nil)
	id := body.(map[string]any)["_id"].(map[string]any)["$oid"].(string)
	s.ok(http.MethodDelete, "/api/user/"+id, nil)
	status, _ = s.call(one, http.MethodGet, "/api/applications", nil)
	require.Equal(t, 401, status)
	status, _ = s.call(two, http.MethodGet, "/api/applications", nil)
	require.Equal(t, 200, status, "his namesake stays")
}

// TestNoClusterTakesAnInstanceOver: only right after a start, when the database may have been restored, is a cluster believed
// that it has a newer placement than root knows.
func TestNoClusterTakesAnInstanceOver(t *testing.T) {
	s := start(t)
	a := s.joinWith("a", 4)
	b := s.joinWith("b", 0)
	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	key := wire.InstanceKey{ServiceID: service}
	a.say(key, 1, 1, wire.StateRunning)
	for _, full := range []bool{false, true} {
		r := b.full(4)
		r.Full = full
		r.Instances = []wire.InstanceReport{{InstanceKey: key, Generation: wire.Generation{Placement: math.MaxUint32, Move: 1}, State: wire.StateRunning}}
		b.report(r)
		one := s.instances(service)[0]
		require.Equal(t, a.id, one.ClusterID)
		require.EqualValues(t, 1, one.Placement)
		require.Empty(t, a.desired(wire.Stamp{}, 0).Removed, "the real one must not be stopped")
		require.Empty(t, b.desired(wire.Stamp{}, 0).Removed, "nor what may run there")
	}
}

// TestGuessingPasswordsIsSlow: a stranger gets few attempts, and the account's owner elsewhere is not locked out by them.
func TestGuessingPasswordsIsSlow(t *testing.T) {
	s := start(t)
	refused := 0
	for range 30 {
		status, body := s.call("", http.MethodPost, "/api/auth/login", map[string]string{"username": "admin", "password": "wrong password"})
		if status == http.StatusTooManyRequests {
			refused++
			require.NotEmpty(t, body.(map[string]any)["detail"])
		} else {
			require.Equal(t, 401, status, body)
		}
	}
	require.Greater(t, refused, 10)
}

// TestApplicationGoesWithTheServiceThatIsBeingAdded deletes an application while another request is adding a service to it.
func TestApplicationGoesWithTheServiceThatIsBeingAdded(t *testing.T) {
	s := start(t)
	service := s.register(s.admin, "app", map[string]any{})
	app := s.ok(http.MethodGet, "/api/service/"+service, nil).(map[string]any)["applicationID"].(string)
	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM application WHERE id = $1 FOR UPDATE`, app)
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `INSERT INTO service (id, application_id, name, namespace, job_name, descriptor)
		SELECT 'ffffffffffffffffffffffff', application_id, 'late', namespace, 'app.test.late.test', descriptor FROM service WHERE id = $1`, service)
	require.NoError(t, err)
	deleted := make(chan int, 1)
	go func() {
		status, _, _ := request(http.DefaultClient, s.admin, http.MethodDelete, s.plain+"/api/application/"+app, nil)
		deleted <- status
	}()
	require.Eventually(t, func() bool { // until the deletion waits for the other
		var n int
		err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE NOT granted`).Scan(&n)
		return err == nil && n > 0
	}, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, 200, <-deleted)
	require.Empty(t, s.ok(http.MethodGet, "/api/services", nil))
	var left int
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM application) + (SELECT count(*) FROM service)`).Scan(&left))
	require.Zero(t, left)
}

// TestRedeployingAtOnceKeepsTheAddress deletes an application and registers it anew with the same names and address before its
// instance has ended. The end of the old one takes nothing from the new one.
func TestRedeployingAtOnceKeepsTheAddress(t *testing.T) {
	s := start(t)
	c := s.joinWith("c1", 4)
	fields := map[string]any{"addresses": map[string]string{"rr_ip": "10.30.55.55", "rr_ip_v6": "fdff:2000::55:55"}}
	old := s.register(s.admin, "app", fields)
	s.deploy(old)
	c.say(wire.InstanceKey{ServiceID: old}, 1, 1, wire.StateRunning)
	app := s.ok(http.MethodGet, "/api/service/"+old, nil).(map[string]any)["applicationID"].(string)
	s.ok(http.MethodDelete, "/api/application/"+app, nil)
	status, body := s.call(s.admin, http.MethodPost, "/api/auth/register",
		map[string]any{"name": "eve", "password": password, "organization_name": "others"})
	require.Equal(t, 200, status, body)
	status, body = s.call(s.login("others", "eve"), http.MethodPost, "/api/application/", descriptor("app", fields))
	require.Equal(t, 409, status, body)

	fresh := s.register(s.admin, "app", fields)
	s.deploy(fresh)
	d := c.desired(wire.Stamp{}, 0)
	require.Len(t, d.Removed, 1)
	require.Len(t, d.Changed, 1)
	c.say(wire.InstanceKey{ServiceID: old}, 1, 1, wire.StateUndeployed)
	shown := s.ok(http.MethodGet, "/api/service/"+fresh, nil).(map[string]any)
	require.Equal(t, "10.30.55.55", shown["RR_ip"])
	require.Equal(t, "fdff:2000::55:55", shown["RR_ip_v6"])
	status, body = s.call(s.admin, http.MethodPost, "/api/application/", descriptor("second", fields))
	require.Equal(t, 409, status, body)
}
