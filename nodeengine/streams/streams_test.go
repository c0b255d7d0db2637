// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/stream"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/logs"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

var (
	key = wire.InstanceKey{ServiceID: "aaaaaaaaaaaaaaaaaaaaaaaa"}
	gen = wire.Generation{Placement: 1, Move: 1}
)

// scripted is a runtime whose copies do what the test says.
type scripted struct {
	runtime.Runtime
	attend func(ctx context.Context, p runtime.Process) (int, error)
	logs   func(ctx context.Context, o logs.Options, sink logs.Sink) error
}

func (s *scripted) Attend(ctx context.Context, _ string, p runtime.Process) (int, error) {
	return s.attend(ctx, p)
}

func (s *scripted) Logs(ctx context.Context, _ string, o logs.Options, sink logs.Sink) error {
	return s.logs(ctx, o, sink)
}

// bed is a server beside a cluster that only takes its connections.
type bed struct {
	*Server
	came chan *stream.Conn
}

func newBed(t *testing.T, rt runtime.Runtime, state wire.State) *bed {
	t.Helper()
	b := &bed{came: make(chan *stream.Conn, maxStreams)}
	cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := stream.Accept(w, r); err == nil {
			b.came <- conn
		}
	}))
	t.Cleanup(cluster.Close)
	b.Server = New(Options{Cluster: cluster.URL, Log: slog.New(slog.DiscardHandler), Where: func(k wire.InstanceKey, g wire.Generation) (runtime.Runtime, string, wire.State, bool) {
		return rt, runtime.ID(k, g), state, k == key && g == gen
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { b.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done }) // which fails if a stream stays
	require.Eventually(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.ctx != nil }, 5*time.Second, time.Millisecond)
	return b
}

func (b *bed) ask(t *testing.T, r wire.StreamRequest, start wire.StreamStartMessage) *stream.Endpoint {
	t.Helper()
	r.ID, r.Secret, r.TTLMillis = "bbbbbbbbbbbbbbbbbbbbbbbb", "s", 5000
	b.Take(r)
	conn := <-b.came
	require.NoError(t, conn.SendJSON(wire.StreamStart, start))
	e := stream.NewEndpoint(conn, wire.StreamWindow)
	return e
}

var here = wire.StreamRequest{InstanceKey: key, Generation: gen}

func TestRefusals(t *testing.T) {
	rt := &scripted{attend: func(_ context.Context, p runtime.Process) (int, error) {
		switch p.Command[0] {
		case "none":
			return 0, &runtime.CommandError{Err: errors.New("no such file")}
		case "dead":
			return 0, runtime.ErrNotRunning
		}
		return 0, errors.New("containerd is away")
	}}
	command := func(words ...string) wire.StreamStartMessage {
		return wire.StreamStartMessage{Exec: &wire.ExecStart{Command: words}}
	}
	for name, tc := range map[string]struct {
		request wire.StreamRequest
		state   wire.State
		start   wire.StreamStartMessage
		code    string
	}{
		"elsewhere":       {wire.StreamRequest{InstanceKey: key, Generation: wire.Generation{Placement: 2}}, wire.StateRunning, command("x"), wire.StreamNotFound},
		"not running":     {here, wire.StateCreating, command("x"), wire.StreamNotRunning},
		"ended meanwhile": {here, wire.StateRunning, command("dead"), wire.StreamNotRunning},
		"no such command": {here, wire.StateRunning, command("none"), wire.StreamBadCommand},
		"no command":      {here, wire.StateRunning, command(), wire.StreamRefused},
		"nothing":         {here, wire.StateRunning, wire.StreamStartMessage{}, wire.StreamRefused},
		"both":            {here, wire.StateRunning, wire.StreamStartMessage{Exec: &wire.ExecStart{}, Logs: &wire.LogsStart{}}, wire.StreamRefused},
		"runtime is away": {here, wire.StateRunning, command("x"), wire.StreamFailed},
	} {
		t.Run(name, func(t *testing.T) {
			e := newBed(t, rt, tc.state).ask(t, tc.request, tc.start)
			require.NoError(t, e.Run(t.Context()))
			require.Equal(t, tc.code, e.End().Code)
			require.NotEmpty(t, e.End().Error)
		})
	}
}

func TestCommandEndsWithItsStream(t *testing.T) {
	var running atomic.Int32
	rt := &scripted{attend: func(ctx context.Context, p runtime.Process) (int, error) {
		running.Add(1)
		defer running.Add(-1)
		p.Started()
		if _, err := p.Stdout.Write([]byte("runs")); err != nil {
			return 0, err
		}
		<-ctx.Done()
		return 0, context.Cause(ctx)
	}}
	b := newBed(t, rt, wire.StateRunning)
	e := b.ask(t, here, wire.StreamStartMessage{Exec: &wire.ExecStart{Command: []string{"x"}}, Window: wire.StreamWindow})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _ = e.Run(ctx) }()
	_, data, err := e.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, "runs", string(data))
	require.EqualValues(t, 1, running.Load())
	cancel() // which drops the connection
	require.Eventually(t, func() bool { return running.Load() == 0 }, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.open == 0 }, 10*time.Second, time.Millisecond)
}

func TestCommandHasItsInputSizesAndSignals(t *testing.T) {
	rt := &scripted{attend: func(ctx context.Context, p runtime.Process) (int, error) {
		p.Started()
		input, err := io.ReadAll(p.Stdin)
		if err != nil || string(input) != "typed" || p.Size != (runtime.Size{Columns: 80, Rows: 24}) {
			return 99, nil
		}
		if <-p.Resize != (runtime.Size{Columns: 1, Rows: 2}) {
			return 98, nil
		}
		return 128 + <-p.Signals, nil
	}}
	e := newBed(t, rt, wire.StateRunning).ask(t, here, wire.StreamStartMessage{Window: wire.StreamWindow,
		Exec: &wire.ExecStart{Command: []string{"x"}, TTY: true, Columns: 80, Rows: 24, Stdin: true}})
	ran := make(chan error, 1)
	go func() { ran <- e.Run(t.Context()) }()
	_, err := e.Writer(t.Context(), wire.StreamStdin).Write([]byte("typed"))
	require.NoError(t, err)
	require.NoError(t, e.Control(wire.StreamControlMessage{EOF: true}))
	require.NoError(t, e.Control(wire.StreamControlMessage{Resize: &wire.TerminalSize{Columns: 1, Rows: 2}}))
	require.NoError(t, e.Control(wire.StreamControlMessage{Signal: "no such"}))
	require.NoError(t, e.Control(wire.StreamControlMessage{Signal: "int"}))
	require.NoError(t, <-ran)
	require.Equal(t, 130, *e.End().ExitCode)
}

func TestLogsCarryPositions(t *testing.T) {
	id := runtime.ID(key, gen)
	var asked logs.Options
	rt := &scripted{logs: func(_ context.Context, o logs.Options, sink logs.Sink) error {
		asked = o
		return errors.Join(sink.Gap(3), sink.Write([]byte("line\n"), 8))
	}}
	b := newBed(t, rt, wire.StateRunning)
	for from, want := range map[string]int64{"": -1, id + "@8": 8, id + "@x": 0, "another@8": 0} {
		e := b.ask(t, here, wire.StreamStartMessage{Logs: &wire.LogsStart{From: from, SinceMillis: 1000}, Window: wire.StreamWindow})
		var position string
		e.OnControl = func(m wire.StreamControlMessage) { position = m.Position }
		require.NoError(t, e.Run(t.Context()))
		require.Empty(t, e.End().Error)
		text, err := io.ReadAll(e.Reader(t.Context()))
		require.NoError(t, err)
		require.Contains(t, string(text), "3 bytes of the log were overwritten")
		require.Contains(t, string(text), "line\n")
		require.Equal(t, id+"@8", position)
		require.Equal(t, want, asked.From)
		require.Equal(t, -1, asked.Tail)
		require.WithinDuration(t, time.Now().Add(-time.Second), asked.Since, 10*time.Second)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	rt := &scripted{attend: func(ctx context.Context, p runtime.Process) (int, error) {
		p.Started()
		<-ctx.Done()
		return 0, context.Cause(ctx)
	}}
	b := newBed(t, rt, wire.StateRunning)
	r := here
	r.ID, r.TTLMillis = "bbbbbbbbbbbbbbbbbbbbbbbb", 5000
	for range 2 * maxStreams {
		b.Take(r)
	}
	b.Take(wire.StreamRequest{ID: "../..", InstanceKey: key})
	b.mu.Lock()
	require.Equal(t, maxStreams, b.open)
	b.mu.Unlock()
}
