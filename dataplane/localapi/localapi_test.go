// SPDX-License-Identifier: Apache-2.0

package localapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/features"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/endpoint"
	"github.com/oakestra/oakestra-ebpf/dataplane/expose"
	"github.com/oakestra/oakestra-ebpf/dataplane/upcall"
)

var quiet = slog.New(slog.DiscardHandler)

// script answers as told and remembers what it was asked.
type script struct {
	err      error
	identity wire.LocalIdentity
	attach   wire.LocalAttach
	detached string
}

func (s *script) SetIdentity(_ context.Context, in wire.LocalIdentity) error {
	s.identity = in
	return s.err
}

func (s *script) Attach(_ context.Context, in wire.LocalAttach) (wire.LocalEndpoint, error) {
	if in.JobName == "panic" {
		panic("on purpose")
	}
	s.attach = in
	return wire.LocalEndpoint{LocalAttach: in, Tag: 7}, s.err
}

func (s *script) Detach(_ context.Context, k wire.InstanceKey, g wire.Generation) error {
	s.detached = k.String() + " " + g.String()
	return s.err
}
func (s *script) Endpoints() []wire.LocalEndpoint { return nil }
func (s *script) Names() []wire.LocalName {
	return []wire.LocalName{{ResolvedName: wire.ResolvedName{NameKey: wire.NameKey{Name: "web.prod.shop.acme.oak"}}}}
}
func (s *script) Status() wire.LocalStatus { return wire.LocalStatus{WorkerID: "w", Ready: true} }

func do(h http.Handler, method, path, body string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestCalls(t *testing.T) {
	s := &script{}
	h := NewHandler(s, nil, quiet)
	for _, c := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{"PUT", "/v1/identity", `{"worker_id":"w","unknown":1}`, 204, ""},
		{"PUT", "/v1/identity", `{`, 400, "decode the body"},
		{"PUT", "/v1/identity", `{"worker_id":"` + strings.Repeat("x", maxBody) + `"}`, 413, "larger"},
		{"GET", "/v1/endpoints", "", 200, "[]"},
		{"PUT", "/v1/endpoints", `{"service_id":"s","instance_number":3}`, 200, `"tag":7`},
		{"PUT", "/v1/endpoints", `{"job_name":"panic"}`, 500, "unexpectedly"},
		{"DELETE", "/v1/endpoints/s/3?generation=4.5", "", 204, ""},
		{"DELETE", "/v1/endpoints/s/3", "", 400, "PLACEMENT.MOVE"},
		{"DELETE", "/v1/endpoints/s/-1?generation=4.5", "", 400, "no number"},
		{"GET", "/v1/names", "", 200, `"name":"web.prod.shop.acme.oak"`},
		{"GET", "/v1/status", "", 200, `"ready":true`},
		{"GET", "/healthz", "", 200, "ok"},
		{"GET", "/nothing", "", 404, ""},
	} {
		status, answer := do(h, c.method, c.path, c.body)
		require.Equal(t, c.status, status, "%s %s: %s", c.method, c.path, answer)
		require.Contains(t, answer, c.answer)
	}
	require.Equal(t, "w", s.identity.WorkerID)
	require.Equal(t, 3, s.attach.Number)
	require.Equal(t, "s.3 4.5", s.detached)
}

func TestErrorsHaveTheirStatus(t *testing.T) {
	for err, want := range map[error]int{
		endpoint.ErrInvalid: 400, endpoint.ErrStale: 409, ErrConflict: 409, endpoint.ErrNotReady: 503, endpoint.ErrFull: 507,
		expose.ErrTaken:     409,
		expose.ErrInvalid:   400,
		errors.New("other"): 500,
	} {
		status, answer := do(NewHandler(&script{err: fmt.Errorf("wrapped: %w", err)}, nil, quiet), "PUT", "/v1/endpoints", "{}")
		require.Equal(t, want, status)
		require.Contains(t, answer, `{"error":"wrapped: `)
		require.Equal(t, errors.Is(err, endpoint.ErrFull) || errors.Is(err, expose.ErrTaken), strings.Contains(answer, `"elsewhere":true`), answer)
	}
}

func FuzzParseGeneration(f *testing.F) {
	f.Add("1.2")
	f.Add(".")
	f.Fuzz(func(t *testing.T, s string) {
		if g, err := parseGeneration(s); err == nil {
			again, err := parseGeneration(g.String())
			require.NoError(t, err)
			require.Equal(t, g, again)
		}
	})
}

func TestUnixSocketAnswersRootOnly(t *testing.T) {
	dir, err := os.MkdirTemp("", "oak")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755)) // so that another user gets as far as the socket
	path := filepath.Join(dir, "s.sock")
	l, err := ListenUnix(path)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ServeUnix(ctx, l, NewHandler(&script{}, nil, quiet), quiet) }()

	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	r, err := client.Get("http://x/v1/status")
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Equal(t, 200, r.StatusCode)

	_, err = ListenUnix(path)
	require.ErrorContains(t, err, "another process")

	_, err = dialAs(t, path, 65534)
	require.ErrorIs(t, err, os.ErrPermission, "the socket's mode keeps others out")
	require.NoError(t, os.Chmod(path, 0o666))
	conn, err := dialAs(t, path, 65534)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte("GET /v1/status HTTP/1.0\r\n\r\n"))
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, string(answer), "403 Forbidden")
	require.Contains(t, string(answer), "root only")

	client.CloseIdleConnections()
	cancel()
	require.NoError(t, <-done)
}

// dialAs connects as another user, whom the kernel tells the listener: that of the one thread that connects.
func dialAs(t *testing.T, path string, uid uintptr) (net.Conn, error) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	seteuid := func(uid uintptr) {
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uid, ^uintptr(0))
		require.Zero(t, errno)
	}
	seteuid(uid)
	defer seteuid(0)
	return net.Dial("unix", path)
}

func TestListenUnixReplacesOnlyDeadSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "s.sock")
	l, err := ListenUnix(path)
	require.NoError(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	l, err = ListenUnix(path)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	_, err = ListenUnix(path)
	require.ErrorContains(t, err, "no socket")
}

func TestTCPWantsTheToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "run", "token")
	token, err := NewToken(file)
	require.NoError(t, err)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	l, err := ListenTCP(0)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ServeTCP(ctx, l, NewHandler(&script{}, nil, quiet), token, quiet) }()
	get := func(path, auth string) int {
		req, err := http.NewRequest(http.MethodGet, "http://"+l.Addr().String()+path, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", auth)
		r, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		return r.StatusCode
	}
	require.Equal(t, 200, get("/v1/status", "Bearer "+token))
	require.Equal(t, 401, get("/v1/status", "Bearer "+token[1:]))
	require.Equal(t, 401, get("/v1/status", ""))
	require.Equal(t, 200, get("/healthz", ""))
	http.DefaultClient.CloseIdleConnections()
	cancel()
	require.NoError(t, <-done)
}

func TestMetrics(t *testing.T) {
	maps, err := bpf.NewMaps()
	require.NoError(t, err, "the test needs root")
	t.Cleanup(func() { _ = maps.Close() })
	reading := false
	m, err := NewMetrics(Sources{
		Maps: maps, Features: features.Record{Features: []features.Feature{{Name: "tcx"}}},
		Connected: func() bool { return true },
		Upcalls:   func() (upcall.Stats, bool) { return upcall.Stats{Received: 7, Held: 2, Bytes: 120}, reading },
	})
	require.NoError(t, err)
	h := NewHandler(&script{}, m.Handler(), quiet)
	_, body := do(h, "GET", "/metrics", "")
	require.NotContains(t, body, "oakestra_netmanager_upcall")

	reading = true
	m.RouteApplied(1200 * time.Microsecond)
	m.MessageRefused()
	status, body := do(h, "GET", "/metrics", "")
	require.Equal(t, 200, status)
	for _, line := range []string{
		`oakestra_netmanager_route_lag_seconds_bucket{le="0.001"} 0`,
		`oakestra_netmanager_route_lag_seconds_bucket{le="0.002"} 1`,
		"oakestra_netmanager_messages_refused_total 1",
		"oakestra_netmanager_connected 1",
		`oakestra_netmanager_upcall_frames_total{what="received"} 7`,
		"oakestra_netmanager_upcall_held_frames 2",
		"oakestra_netmanager_upcall_held_bytes 120",
		`oakestra_dataplane_kernel_feature{feature="tcx"} 0`,
		"oakestra_dataplane_scrape_errors 0",
	} {
		require.Contains(t, body, line+"\n")
	}
}
