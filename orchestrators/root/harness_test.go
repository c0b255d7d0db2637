// SPDX-License-Identifier: Apache-2.0

package root

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/schema"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/users"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/vault"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

const password = "a good password"

// system is a root on a real database and a real port.
type system struct {
	t     *testing.T
	root  *Root
	pool  *pgxpool.Pool
	plain string // http://…
	tls   string // https://…
	admin string // an access token
	stop  func()
}

func start(t *testing.T) *system { return startOn(t, pgtest.New(t), semantic.DefaultRanges()) }

func startOn(t *testing.T, url string, ranges wire.Ranges) *system {
	t.Helper()
	return startWith(t, url, Config{Ranges: ranges})
}

func startWith(t *testing.T, url string, conf Config) *system {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	conf.Log = log
	if conf.Vault == nil {
		conf.Vault = testVault(t)
	}
	pool, err := store.Open(t.Context(), url, schema.Files(), log)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	r, err := New(t.Context(), pool, conf)
	require.NoError(t, err)
	_, err = r.Users().EnsureAdmin(t.Context(), password)
	require.NoError(t, err)
	cfg, err := r.CA().ServerTLS("127.0.0.1")
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- r.Run(ctx) }()
	go func() { done <- httpapi.ServeListener(ctx, ln, cfg, false, r.Handler(), log) }()
	stop := sync.OnceFunc(func() {
		cancel()
		for range 2 {
			require.NoError(t, <-done)
		}
	})
	t.Cleanup(stop)
	addr := ln.Addr().String()
	s := &system{stop: stop, t: t, root: r, pool: pool, plain: "http://" + addr, tls: "https://" + addr}
	s.admin = s.login("", users.AdminName)
	return s
}

func (s *system) login(organization, name string) string {
	s.t.Helper()
	status, body := s.call("", http.MethodPost, "/api/auth/login",
		map[string]string{"username": name, "password": password, "organization_name": organization})
	require.Equal(s.t, 200, status, body)
	return body.(map[string]any)["token"].(string)
}

// testVault is the same for all roots of a test.
func testVault(t *testing.T) *vault.Vault {
	t.Helper()
	v, err := vault.New(bytes.Repeat([]byte{7}, vault.KeyBytes))
	require.NoError(t, err)
	return v
}

// user creates a user without roles and returns an access token of his.
func (s *system) user(name string) string {
	s.t.Helper()
	status, body := s.call(s.admin, http.MethodPost, "/api/auth/register", map[string]any{"name": name, "password": password})
	require.Equal(s.t, 200, status, body)
	return s.login("", name)
}

// call makes a request over plain loopback HTTP; body may be text, or anything to be sent as JSON.
func (s *system) call(token, method, path string, body any) (int, any) {
	s.t.Helper()
	status, answer, err := request(http.DefaultClient, token, method, s.plain+path, body)
	require.NoError(s.t, err)
	return status, answer
}

// ok is call that has to succeed.
func (s *system) ok(method, path string, body any) any {
	s.t.Helper()
	status, answer := s.call(s.admin, method, path, body)
	require.Equal(s.t, 200, status, answer)
	return answer
}

func request(client *http.Client, token, method, url string, body any) (int, any, error) {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return 0, nil, err
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, url, reader)
	if err != nil {
		return 0, nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		page, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(page), err
	}
	var answer any
	err = json.NewDecoder(resp.Body).Decode(&answer)
	return resp.StatusCode, answer, err
}

// descriptor returns one application of the given services, each as its fields beside name and namespace.
func descriptor(app string, services ...map[string]any) map[string]any {
	list := []any{}
	for i, fields := range services {
		m := map[string]any{
			"microserviceID": "", "microservice_name": fmt.Sprintf("svc%d", i), "microservice_namespace": "test",
			"virtualization": "container", "code": "registry.example/app:1", "memory": 100, "vcpus": 1,
		}
		for k, v := range fields {
			m[k] = v
		}
		list = append(list, m)
	}
	return map[string]any{"sla_version": "v2.0", "customerID": "x", "applications": []any{map[string]any{
		"applicationID": "", "application_name": app, "application_namespace": "test", "microservices": list,
	}}}
}

// register registers an application of one service and returns the service's id.
func (s *system) register(token, app string, fields map[string]any) (service string) {
	s.t.Helper()
	status, body := s.call(token, http.MethodPost, "/api/application/", descriptor(app, fields))
	require.Equal(s.t, 200, status, body)
	for _, a := range body.([]any) {
		if m := a.(map[string]any); m["application_name"] == app {
			return m["microservices"].([]any)[0].(string)
		}
	}
	s.t.Fatal("the application is not in the list")
	return ""
}

// deploy adds an instance and returns its number and status.
func (s *system) deploy(service string) (number int, status wire.State) {
	s.t.Helper()
	body := s.ok(http.MethodPost, "/api/service/"+service+"/instance", nil).(map[string]any)
	return int(body["instance_number"].(float64)), wire.State(body["status"].(string))
}

// instances returns the instances of a service as the API shows them.
func (s *system) instances(service string) (list []instanceJSON) {
	s.t.Helper()
	text, err := json.Marshal(s.ok(http.MethodGet, "/api/v1/instances?service="+service, nil))
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal(text, &list))
	return list
}

// fakeCluster is a scripted cluster over real TLS.
type fakeCluster struct {
	s        *system
	id, name string
	key      []byte
	client   *http.Client
	revision uint64
}

func (s *system) newToken(uses int) string {
	s.t.Helper()
	token, err := s.root.CA().IssueToken(s.t.Context(), pki.RoleCluster, time.Hour, uses)
	require.NoError(s.t, err)
	return token.String()
}

func (s *system) pinned() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: pki.PinnedTLS(s.root.CA().Hash())}, Timeout: 10 * time.Second}
}

func (s *system) join(name string) *fakeCluster {
	s.t.Helper()
	key, err := pki.NewKey()
	require.NoError(s.t, err)
	return s.joinAs(name, key)
}

// joinAs joins with a key.
func (s *system) joinAs(name string, key []byte) *fakeCluster {
	s.t.Helper()
	csr, err := pki.NewCSR(key)
	require.NoError(s.t, err)
	status, body, err := request(s.pinned(), s.newToken(1), http.MethodPost, s.tls+wire.PathClusterJoin,
		wire.ClusterJoinRequest{Format: wire.Format, CSR: string(csr), Name: name, Location: "48.1,11.5"})
	require.NoError(s.t, err)
	require.Equal(s.t, 200, status, body)
	answer := body.(map[string]any)
	cfg, err := pki.ClientTLS([]byte(answer["certificate"].(string)), key, []byte(answer["ca"].(string)))
	require.NoError(s.t, err)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}, Timeout: 40 * time.Second}
	s.t.Cleanup(client.CloseIdleConnections)
	return &fakeCluster{s: s, id: answer["id"].(string), name: name, key: key, client: client}
}

// joinWith joins and reports workers of 4 processors and 4,096 MB that run containers on amd64, n of them.
func (s *system) joinWith(name string, workers int) *fakeCluster {
	s.t.Helper()
	c := s.join(name)
	c.report(c.full(workers))
	return c
}

// full is a full report of so many idle workers.
func (c *fakeCluster) full(workers int) wire.ClusterReport {
	one := wire.Slot{VCPUs: 4, MemoryMB: 4096, StorageMB: 10000}
	n := float64(workers)
	all := wire.Slot{VCPUs: 4 * n, MemoryMB: 4096 * int64(n), StorageMB: 10000 * int64(n)}
	r := wire.ClusterReport{Full: true, FreeSubnets: 16}
	if workers > 0 {
		r.Aggregate.Groups = []wire.AggregateGroup{{
			Architecture: "amd64", Runtime: "container", Workers: workers, Capacity: all, Free: all, Largest: one,
		}}
	}
	return r
}

func (c *fakeCluster) url(path string) string {
	return c.s.tls + strings.ReplaceAll(path, "{id}", c.id)
}

func (c *fakeCluster) send(method, url string, body, answer any) int {
	c.s.t.Helper()
	status, got, err := request(c.client, "", method, url, body)
	require.NoError(c.s.t, err)
	if status == 200 {
		text, err := json.Marshal(got)
		require.NoError(c.s.t, err)
		require.NoError(c.s.t, json.Unmarshal(text, answer))
	}
	return status
}

// report sends a report with the next revision.
func (c *fakeCluster) report(r wire.ClusterReport) wire.ClusterReportAck {
	c.s.t.Helper()
	c.revision++
	r.Header = wire.NewHeader(wire.Stamp{Epoch: 1, Revision: c.revision})
	var ack wire.ClusterReportAck
	require.Equal(c.s.t, 200, c.send(http.MethodPost, c.url(wire.PathClusterReport), r, &ack))
	return ack
}

// say reports the state of one instance, beside four idle workers.
func (c *fakeCluster) say(key wire.InstanceKey, placement, move uint32, state wire.State) {
	c.s.t.Helper()
	r := c.full(4)
	r.Full = false
	r.Instances = []wire.InstanceReport{{
		InstanceKey: key, Generation: wire.Generation{Placement: placement, Move: move}, State: state, Detail: "says the test", Since: time.Now(),
	}}
	c.report(r)
}

func (c *fakeCluster) desired(since wire.Stamp, wait time.Duration) *wire.ClusterDesired {
	c.s.t.Helper()
	var d wire.ClusterDesired
	url := fmt.Sprintf("%s?epoch=%d&since=%d&wait=%s", c.url(wire.PathClusterDesired), since.Epoch, since.Revision, wait)
	require.Equal(c.s.t, 200, c.send(http.MethodGet, url, nil, &d))
	return &d
}
