// SPDX-License-Identifier: Apache-2.0

package httpapi_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// start serves an Echo with a route of each kind and returns its address.
func start(t *testing.T, cfg *tls.Config, opts ...httpapi.Option) string {
	t.Helper()
	e := httpapi.New(quiet(), opts...)
	e.POST("/echo", func(c echo.Context) error {
		var v struct {
			Number int `json:"number"`
		}
		if err := httpapi.Decode(c, &v); err != nil {
			return err
		}
		return c.JSON(http.StatusOK, v)
	})
	e.GET("/panic", func(echo.Context) error { panic("on purpose") })
	e.GET("/away", func(echo.Context) error { return &pgconn.PgError{Code: "57P03"} })
	e.GET("/secret", func(c echo.Context) error { return c.String(http.StatusOK, "ok") }, httpapi.RefusePlain)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- httpapi.ServeListener(ctx, ln, cfg, false, e, quiet()) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return ln.Addr().String()
}

func post(t *testing.T, url, body string) (int, httpapi.Problem) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	return read(t, resp)
}

func read(t *testing.T, resp *http.Response) (int, httpapi.Problem) {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	var p httpapi.Problem
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	if resp.StatusCode >= 400 {
		require.NoError(t, json.Unmarshal(body, &p), string(body))
		require.Equal(t, resp.StatusCode, p.Status)
		require.NotEmpty(t, p.Message)
	}
	return resp.StatusCode, p
}

func TestARequestThatTakesTooLongIsTold(t *testing.T) {
	e := httpapi.New(quiet(), httpapi.TimeLimit("/slow", 20*time.Millisecond))
	e.GET("/slow", func(c echo.Context) error {
		<-c.Request().Context().Done()
		return c.Request().Context().Err()
	})
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/slow", nil))
	require.Equal(t, http.StatusServiceUnavailable, rec.Code)
	require.NotEmpty(t, rec.Header().Get(echo.HeaderRetryAfter))
}

func TestBodies(t *testing.T) {
	base := "http://" + start(t, nil)
	for _, tc := range []struct {
		name, body string
		status     int
		code, path string
	}{
		{"good", `{"number":1}`, 200, "", ""},
		{"broken", `{"number":`, 400, "broken_json", ""},
		{"empty", ``, 400, "broken_json", ""},
		{"shape", `{"number":"x"}`, 422, "wrong_type", "$.number"},
		{"10 MB", strings.Repeat(" ", 10<<20), 413, "body_too_large", ""},
	} {
		status, p := post(t, base+"/echo/", tc.body)
		require.Equal(t, tc.status, status, tc.name)
		require.Equal(t, tc.code, p.Code, tc.name)
		require.Equal(t, tc.path, p.Path, tc.name)
	}
	// A body of unknown length is cut off as well.
	req, err := http.NewRequest(http.MethodPost, base+"/echo", io.MultiReader(bytes.NewReader(make([]byte, 5<<20))))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	status, p := read(t, resp)
	require.Equal(t, 413, status, p)
	status, _ = post(t, base+"/echo", `{"number":2}`)
	require.Equal(t, 200, status, "the server goes on")
}

func TestErrorsAreProblems(t *testing.T) {
	base := "http://" + start(t, nil, httpapi.Ready(func(context.Context) error { return errors.New("not yet") }))
	for path, want := range map[string]struct {
		status int
		code   string
	}{
		"/panic":   {500, "internal"},
		"/away":    {503, "database_unavailable"},
		"/nowhere": {404, "no_such_route"},
		"/echo":    {405, "method_not_allowed"},
		"/readyz":  {503, "not_ready"},
		"/healthz": {200, ""},
		"/metrics": {200, ""},
	} {
		resp, err := http.Get(base + path)
		require.NoError(t, err)
		if want.status == 503 {
			require.Equal(t, "1", resp.Header.Get("Retry-After"))
		}
		if path == "/panic" {
			require.NotEmpty(t, resp.Header.Get("X-Request-Id"))
		}
		if want.status == 200 {
			require.Equal(t, 200, resp.StatusCode)
			_ = resp.Body.Close()
			continue
		}
		status, p := read(t, resp)
		require.Equal(t, want.status, status, path)
		require.Equal(t, want.code, p.Code, path)
		require.NotContains(t, p.Detail, "on purpose")
	}
	resp, err := http.Get(base + "/metrics")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(text), `route="/panic",status="500"`)
	require.NotContains(t, string(text), "nowhere", "a path that clients make up must not become a label")
}

func TestRefusePlain(t *testing.T) {
	e := httpapi.New(quiet())
	e.GET("/secret", func(c echo.Context) error { return c.String(http.StatusOK, "ok") }, httpapi.RefusePlain)
	for peer, want := range map[string]int{"127.0.0.1:9": 200, "[::1]:9": 200, "192.0.2.1:9": 403, "junk": 403} {
		req := httptest.NewRequest(http.MethodGet, "/secret", nil)
		req.RemoteAddr = peer
		req.Header.Set("X-Forwarded-For", "127.0.0.1")
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, req)
		require.Equal(t, want, rec.Code, peer)
		req.URL.Path = "/metrics"
		rec = httptest.NewRecorder()
		e.ServeHTTP(rec, req)
		require.Equal(t, want, rec.Code, peer)
	}
}

func TestOnePortForTLSAndPlain(t *testing.T) {
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	defer pair.Close()
	addr := start(t, pair.TLS.Clone())
	client := pair.Client()
	for _, url := range []string{"http://" + addr + "/secret", "https://" + addr + "/secret"} {
		resp, err := client.Get(url)
		require.NoError(t, err, url)
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, strings.HasPrefix(url, "https"), resp.TLS != nil)
		_ = resp.Body.Close()
	}
	// A connection that says nothing, and one that breaks off a handshake, hold up nobody.
	silent, err := net.DialTimeout("tcp", addr, time.Second)
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	half, err := net.DialTimeout("tcp", addr, time.Second)
	require.NoError(t, err)
	_, err = half.Write([]byte{0x16, 0x03})
	require.NoError(t, err)
	require.NoError(t, half.Close())
	resp, err := client.Get("https://" + addr + "/secret")
	require.NoError(t, err)
	_ = resp.Body.Close()
}
