// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/stream"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// maxStreams bounds the streams of a worker; each holds about a mebibyte at most.
const maxStreams = 128

// Options are what a server works with.
type Options struct {
	// Cluster is https://HOST:PORT of the cluster, TLS what it is shown.
	Cluster string
	TLS     *tls.Config
	// Where finds an instance; see agent.Agent.
	Where func(wire.InstanceKey, wire.Generation) (rt runtime.Runtime, id string, state wire.State, ok bool)
	Log   *slog.Logger
}

// Server serves streams.
type Server struct {
	opts Options

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before and after
	open    int
	serving sync.WaitGroup
}

// New returns a server; Run lets it serve.
func New(o Options) *Server { return &Server{opts: o} }

// errStopping ends streams with the program.
var errStopping = errors.New("NodeEngine is being stopped")

// Run serves until ctx ends, and then ends all streams.
func (s *Server) Run(ctx context.Context) {
	serving, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s.mu.Lock()
	s.ctx = serving
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.ctx = nil
	s.mu.Unlock()
	cancel(errStopping)
	s.serving.Wait()
}

// Take serves a request in the background. One that is not understood, or that there is no room for, is left to lapse.
func (s *Server) Take(r wire.StreamRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil || s.open >= maxStreams || !pki.ValidID(r.ID) || !pki.ValidID(r.ServiceID) || r.Number < 0 {
		s.opts.Log.Warn("request for a stream is not served", "stream", r.ID, "instance", r.InstanceKey.String(), "open", s.open)
		return
	}
	s.open++
	ctx := s.ctx
	s.serving.Go(func() {
		s.serve(ctx, r)
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
	})
}

func (s *Server) serve(ctx context.Context, r wire.StreamRequest) {
	log := s.opts.Log.With("stream", r.ID, "instance", r.InstanceKey.String())
	connect := min(max(time.Duration(r.TTLMillis)*time.Millisecond, time.Second), wire.StreamConnectTimeout)
	dialling, cancel := context.WithTimeout(ctx, connect)
	conn, err := stream.DialUp(dialling, s.opts.Cluster, s.opts.TLS, r)
	cancel()
	if err != nil {
		log.Warn("stream is not opened", "error", err)
		return
	}
	start, err := receiveStart(ctx, conn)
	if err != nil {
		log.Info("stream ended before it began", "error", err)
		conn.Abort(err)
		return
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	t := &task{conn: conn, end: stream.NewEndpoint(conn, start.Window), start: start, ctx: ctx}
	t.listen()
	go func() { end(t.end.Run(ctx)) }()
	last := s.do(t, r)
	if ctx.Err() != nil && last.Error != "" {
		last.Code, last.Error = wire.StreamLost, context.Cause(ctx).Error()
	}
	log.Debug("stream ended", "reason", last.Error)
	t.end.Finish(last)
}

func receiveStart(ctx context.Context, conn *stream.Conn) (start wire.StreamStartMessage, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, wire.StreamConnectTimeout, errors.New("nobody has said what the stream is for"))
	defer cancel()
	kind, data, err := conn.Receive(ctx)
	if err != nil {
		return start, err
	}
	if kind != wire.StreamStart {
		return start, fmt.Errorf("the first message is of kind %d and does not say what the stream is for", kind)
	}
	if err := json.Unmarshal(data, &start); err != nil {
		return start, fmt.Errorf("read what the stream is for: %w", err)
	}
	return start, nil
}

// do serves a stream and returns what is said last on it.
func (s *Server) do(t *task, r wire.StreamRequest) wire.StreamEndMessage {
	rt, id, state, ok := s.opts.Where(r.InstanceKey, r.Generation)
	if !ok {
		return wire.StreamEndMessage{Code: wire.StreamNotFound, Error: fmt.Sprintf("instance %s, generation %s, is not on this worker (any more)", r.InstanceKey, r.Generation)}
	}
	streamer, ok := rt.(runtime.Streamer)
	if !ok {
		return wire.StreamEndMessage{Code: wire.StreamRefused, Error: "what runs this instance has neither logs nor commands"}
	}
	switch {
	case t.start.Logs != nil && t.start.Exec == nil:
		return t.logs(streamer, id, func() bool {
			_, _, state, ok := s.opts.Where(r.InstanceKey, r.Generation)
			return !ok || state == wire.StateCompleted || state == wire.StateUndeployed
		})
	case t.start.Exec != nil && t.start.Logs == nil:
		if state != wire.StateRunning {
			return wire.StreamEndMessage{Code: wire.StreamNotRunning, Error: fmt.Sprintf("instance %s is %s: commands need one that is RUNNING", r.InstanceKey, state)}
		}
		return t.exec(streamer, id)
	}
	return wire.StreamEndMessage{Code: wire.StreamRefused, Error: "a stream is for a log or for a command: is the tier above newer than NodeEngine?"}
}
