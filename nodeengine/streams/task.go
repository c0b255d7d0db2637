// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/control/stream"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/logs"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// task is one stream that is served.
type task struct {
	conn  *stream.Conn
	end   *stream.Endpoint
	start wire.StreamStartMessage
	ctx   context.Context

	sizes   chan runtime.Size
	signals chan int
}

// listen takes in sizes and signals from the other end; the latest of each counts.
func (t *task) listen() {
	t.sizes, t.signals = make(chan runtime.Size, 1), make(chan int, 8)
	t.end.OnControl = func(m wire.StreamControlMessage) {
		if m.Resize != nil {
			select {
			case <-t.sizes:
			default:
			}
			t.sizes <- runtime.Size{Columns: m.Resize.Columns, Rows: m.Resize.Rows}
		}
		if n := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(m.Signal), "SIG")); n > 0 {
			select {
			case t.signals <- int(n):
			default:
			}
		}
	}
}

// begin says that the stream has begun.
func (t *task) begin() error { return t.conn.SendJSON(wire.StreamStart, struct{}{}) }

func (t *task) exec(rt runtime.Streamer, id string) wire.StreamEndMessage {
	e := t.start.Exec
	if len(e.Command) == 0 || e.Command[0] == "" {
		return wire.StreamEndMessage{Code: wire.StreamRefused, Error: "the command is empty"}
	}
	began := make(chan struct{})
	p := runtime.Process{
		Command: e.Command, TTY: e.TTY, Size: runtime.Size{Columns: e.Columns, Rows: e.Rows}, Resize: t.sizes, Signals: t.signals,
		Stdout: &after{began, t.ctx, t.end.Writer(t.ctx, wire.StreamStdout)}, Stderr: &after{began, t.ctx, t.end.Writer(t.ctx, wire.StreamStderr)},
		Started: func() {
			_ = t.begin() // if that fails the stream has ended, which ends the command
			close(began)
		},
	}
	if e.Stdin {
		p.Stdin = t.end.Reader(t.ctx)
	}
	code, err := rt.Attend(t.ctx, id, p)
	var bad *runtime.CommandError
	switch {
	case err == nil:
		return wire.StreamEndMessage{ExitCode: &code}
	case errors.As(err, &bad):
		return wire.StreamEndMessage{Code: wire.StreamBadCommand, Error: fmt.Sprintf("the command cannot be started: %v", bad)}
	case errors.Is(err, runtime.ErrNotFound), errors.Is(err, runtime.ErrNotRunning):
		return wire.StreamEndMessage{Code: wire.StreamNotRunning, Error: "the instance is not running"}
	}
	return wire.StreamEndMessage{Code: wire.StreamFailed, Error: err.Error()}
}

// after holds output back until the other end was told that the command has begun.
type after struct {
	began <-chan struct{}
	ctx   context.Context
	w     io.Writer
}

func (a *after) Write(p []byte) (int, error) {
	select {
	case <-a.began:
		return a.w.Write(p)
	case <-a.ctx.Done():
		return 0, context.Cause(a.ctx)
	}
}

func (t *task) logs(rt runtime.Streamer, id string, ended func() bool) wire.StreamEndMessage {
	l := t.start.Logs
	o := logs.Options{From: positionOf(l.From, id), Tail: -1, Timestamps: l.Timestamps, Follow: l.Follow, Ended: ended}
	if l.Tail != nil {
		o.Tail = max(*l.Tail, 0)
	}
	if l.SinceMillis > 0 {
		o.Since = time.Now().Add(-time.Duration(min(l.SinceMillis, int64(1000*time.Hour/time.Millisecond))) * time.Millisecond)
	}
	if err := t.begin(); err != nil {
		return wire.StreamEndMessage{Code: wire.StreamLost, Error: err.Error()}
	}
	if err := rt.Logs(t.ctx, id, o, &sink{t, id}); err != nil {
		return wire.StreamEndMessage{Code: wire.StreamFailed, Error: err.Error()}
	}
	return wire.StreamEndMessage{}
}

// sink sends a log up.
type sink struct {
	t  *task
	id string
}

func (s *sink) Write(p []byte, position int64) error {
	if _, err := s.t.end.Writer(s.t.ctx, wire.StreamStdout).Write(p); err != nil {
		return err
	}
	if s.t.start.Window == 0 { // whoever gives no credit has no use for it
		return nil
	}
	return s.t.end.Control(wire.StreamControlMessage{Position: s.id + "@" + strconv.FormatInt(position, 10)})
}

func (s *sink) Gap(n int64) error {
	_, err := fmt.Fprintf(s.t.end.Writer(s.t.ctx, wire.StreamStderr), "oakestra: %d bytes of the log were overwritten before they could be read\n", n)
	return err
}

// positionOf reads a position of this copy's log; -1 for none. One of another copy, which ran before, is the beginning of this one's.
func positionOf(text, id string) int64 {
	if text == "" {
		return -1
	}
	of, number, _ := strings.Cut(text, "@")
	n, err := strconv.ParseInt(number, 10, 64)
	if of != id || err != nil || n < 0 {
		return 0
	}
	return n
}
