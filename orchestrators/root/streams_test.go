// SPDX-License-Identifier: Apache-2.0

package root

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/stream"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func (c *fakeCluster) tls() *tls.Config { return c.client.Transport.(*http.Transport).TLSClientConfig }

// request waits until the cluster is told of a request for a stream.
func (c *fakeCluster) request() wire.StreamRequest {
	c.s.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var d wire.ClusterDesired
		require.Equal(c.s.t, 200, c.send(http.MethodGet, c.url(wire.PathClusterDesired)+"?wait=0s", nil, &d))
		if len(d.Streams) > 0 {
			return d.Streams[0]
		}
	}
	c.s.t.Fatal("the cluster is told of no request")
	return wire.StreamRequest{}
}

// serve dials up and answers what is asked, as a worker would.
func (c *fakeCluster) serve(do func(start wire.StreamStartMessage, conn *stream.Conn)) {
	c.s.t.Helper()
	conn, err := stream.DialUp(c.s.t.Context(), c.s.tls, c.tls(), c.request())
	require.NoError(c.s.t, err)
	kind, data, err := conn.Receive(c.s.t.Context())
	require.NoError(c.s.t, err)
	require.Equal(c.s.t, wire.StreamStart, kind)
	var start wire.StreamStartMessage
	require.NoError(c.s.t, json.Unmarshal(data, &start))
	do(start, conn)
}

// deployed is a root with a cluster that has one instance.
func deployed(t *testing.T) (s *system, c *fakeCluster, path string) {
	s = start(t)
	c = s.joinWith("c1", 1)
	service := s.register(s.admin, "app", map[string]any{})
	s.deploy(service)
	return s, c, "/api/v1/service/" + service + "/instance/0/"
}

func (s *system) get(ctx context.Context, token, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.plain+path, nil)
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	return http.DefaultClient.Do(req)
}

func (s *system) stored() (n int) {
	require.NoError(s.t, s.pool.QueryRow(s.t.Context(), `SELECT count(*) FROM stream_request`).Scan(&n))
	return n
}

func TestLogsAsText(t *testing.T) {
	s, c, path := deployed(t)
	for name, tc := range map[string]struct {
		last func(*stream.Conn)
		err  error
	}{
		"ended": {func(conn *stream.Conn) { stream.NewEndpoint(conn, 0).Finish(wire.StreamEndMessage{}) }, nil},
		"failed": {func(conn *stream.Conn) {
			stream.NewEndpoint(conn, 0).Finish(wire.StreamEndMessage{Error: "disk is gone"})
		}, io.ErrUnexpectedEOF},
		"killed": {func(conn *stream.Conn) { conn.Abort(errors.New("killed")) }, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			go c.serve(func(start wire.StreamStartMessage, conn *stream.Conn) {
				two := 2
				require.Equal(t, wire.StreamStartMessage{Logs: &wire.LogsStart{Follow: true, Tail: &two, SinceMillis: 60_000}, Window: wire.StreamWindow}, start)
				require.NoError(t, conn.Send(wire.StreamStart, []byte("{}")))
				require.NoError(t, conn.Send(wire.StreamStdout, []byte("one\ntwo\n")))
				time.Sleep(50 * time.Millisecond) // so that it is not lost with what follows
				tc.last(conn)
			})
			resp, err := s.get(t.Context(), s.admin, path+"logs?follow&tail=2&since=1m")
			require.NoError(t, err)
			require.Equal(t, 200, resp.StatusCode)
			text, err := io.ReadAll(resp.Body)
			require.Equal(t, "one\ntwo\n", string(text))
			require.ErrorIs(t, err, tc.err)
			require.Zero(t, s.stored())
		})
	}
}

func TestStreamsThatDoNotBegin(t *testing.T) {
	s, c, path := deployed(t)
	for code, status := range map[string]int{wire.StreamNotRunning: 409, wire.StreamBadCommand: 422, wire.StreamBusy: 429, wire.StreamLost: 502} {
		go c.serve(func(_ wire.StreamStartMessage, conn *stream.Conn) {
			stream.NewEndpoint(conn, 0).Finish(wire.StreamEndMessage{Code: code, Error: "says the worker"})
		})
		got, body := s.call(s.admin, http.MethodGet, path+"logs", nil)
		require.Equal(t, status, got, body)
		require.Equal(t, code, body.(map[string]any)["code"])
		require.Equal(t, "says the worker", body.(map[string]any)["detail"])
	}
	for _, query := range []string{"tail=-1", "tail=x", "since=-1s", "since=soon", "follow=maybe", "window=-1", "from=" + strings.Repeat("x", 300)} {
		status, body := s.call(s.admin, http.MethodGet, path+"logs?"+query, nil)
		require.Equal(t, 422, status, "%s: %v", query, body)
	}
	for _, query := range []string{"", "command=", "command=x&columns=70000", "command=" + strings.Repeat("x", maxCommandBytes+1)} {
		status, body := s.call(s.admin, http.MethodGet, path+"exec?"+query, nil)
		require.Equal(t, 422, status, "%.50s: %v", query, body)
	}
	status, _ := s.call(s.admin, http.MethodGet, path+"exec?command=x", nil)
	require.Equal(t, 426, status)
	status, _ = s.call(s.admin, http.MethodGet, strings.Replace(path, "/0/", "/7/", 1)+"logs", nil)
	require.Equal(t, 404, status)

	// Nobody comes.
	began := time.Now()
	status, body := s.call(s.admin, http.MethodGet, path+"logs", nil)
	require.Equal(t, 504, status, body)
	require.Less(t, time.Since(began), wire.StreamConnectTimeout+3*time.Second)
	require.Zero(t, s.stored())
	require.Zero(t, s.root.streams.place.Open())
}

// TestSecretIsGoodForOneConnectionOfItsCluster tries what a thief would.
func TestSecretIsGoodForOneConnectionOfItsCluster(t *testing.T) {
	s, c, path := deployed(t)
	other := s.joinWith("c2", 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		resp, err := s.get(ctx, s.admin, path+"logs")
		if err == nil {
			_ = resp.Body.Close()
		}
		done <- err
	}()
	r := c.request()
	refused := func(conf *tls.Config, r wire.StreamRequest) {
		t.Helper()
		_, err := stream.DialUp(t.Context(), s.tls, conf, r)
		var no *stream.Refusal
		require.ErrorAs(t, err, &no)
		require.Equal(t, 404, no.Status)
	}
	refused(other.tls(), r)
	wrong := r
	wrong.Secret = strings.Repeat("0", len(r.Secret))
	refused(c.tls(), wrong)
	conn, err := stream.DialUp(t.Context(), s.tls, c.tls(), r)
	require.NoError(t, err, "what others tried has spoilt nothing")
	refused(c.tls(), r)
	cancel()
	require.Error(t, <-done)
	for err == nil { // the end of the one that waited ends the stream
		_, _, err = conn.Receive(t.Context())
	}
	require.Eventually(t, func() bool { return s.stored() == 0 && s.root.streams.place.Open() == 0 }, 5*time.Second, 10*time.Millisecond)
}

func TestExecNeedsARoleAndEndsWithIt(t *testing.T) {
	s, c, path := deployed(t)
	eve := s.user("eve")
	status, _ := s.call(eve, http.MethodGet, path+"exec?command=x", nil)
	require.Equal(t, 403, status)
	api, err := client.New(client.Options{URL: s.plain, Token: s.admin})
	require.NoError(t, err)
	service := strings.Split(path, "/")[4]
	go c.serve(func(start wire.StreamStartMessage, conn *stream.Conn) {
		require.Equal(t, []string{"sh", "-c", "x & y"}, start.Exec.Command)
		require.NoError(t, conn.Send(wire.StreamStart, []byte("{}")))
		e := stream.NewEndpoint(conn, start.Window)
		go func() { _ = e.Run(t.Context()) }()
		_, err := io.Copy(e.Writer(t.Context(), wire.StreamStdout), e.Reader(t.Context()))
		require.NoError(t, err)
		code := 7
		e.Finish(wire.StreamEndMessage{ExitCode: &code})
	})
	var out strings.Builder
	code, err := api.Exec(t.Context(), client.ID(service), 0, client.ExecOptions{Command: []string{"sh", "-c", "x & y"}, Stdin: strings.NewReader("echo"), Stdout: &out, Stderr: io.Discard})
	require.NoError(t, err)
	require.Equal(t, 7, code)
	require.Equal(t, "echo", out.String())
}

// TestEventsAreFollowed reads events as they come, and goes on after a break where it was.
func TestEventsAreFollowed(t *testing.T) {
	s, c, path := deployed(t)
	service := strings.Split(path, "/")[4]
	eve := s.user("eve")
	read := func(token, last string, n int) (ids []string, states []string) {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.plain+"/api/v1/events?service="+service, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Last-Event-ID", last)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
		for lines := bufio.NewScanner(resp.Body); len(states) < n && lines.Scan(); {
			if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				ids = append(ids, id)
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var e streamedEvent
				require.NoError(t, json.Unmarshal([]byte(data), &e))
				require.Equal(t, service, e.ServiceID)
				states = append(states, string(e.Status))
			}
		}
		return ids, states
	}
	before, _ := read(s.admin, "0", 1)
	last := before[0]
	key := wire.InstanceKey{ServiceID: service}
	for _, state := range []wire.State{wire.StateCreating, wire.StateCreated, wire.StateRunning} {
		c.say(key, 1, 1, state)
		ids, states := read(s.admin, last, 1)
		for states[0] == string(wire.StateRequested) || states[0] == string(wire.StateClusterScheduled) { // of the deployment itself
			last = ids[0]
			ids, states = read(s.admin, last, 1)
		}
		require.Equal(t, []string{string(state)}, states)
		last = ids[0]
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	resp, err := s.get(ctx, eve, "/api/v1/events?since_id=0")
	require.NoError(t, err)
	text, _ := io.ReadAll(resp.Body)
	require.NotContains(t, string(text), "data:", "who owns nothing is told nothing")
	for _, bad := range []string{"since_id=x", "since_id=-1", "instance=x"} {
		status, _ := s.call(s.admin, http.MethodGet, "/api/v1/events?"+bad, nil)
		require.Equal(t, 422, status, bad)
	}
}
