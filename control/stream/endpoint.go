// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Endpoint is either end of a stream: it keeps what it sends within the credit that it is given, holds what has come until it is taken, and
// gives credit for that. Run has to be running for anything to move.
type Endpoint struct {
	conn  *Conn
	gate  *gate
	queue *queue

	// OnControl, if not nil, is called with each control message, which it must not hold up. It has to be set before Run.
	OnControl func(wire.StreamControlMessage)

	mu   sync.Mutex
	came int64 // bytes of data
	owed int   // bytes taken and not credited yet
	end  *wire.StreamEndMessage
}

// NewEndpoint returns an end of the stream. window is the credit that it starts with, at most [wire.StreamWindow]; 0 for no limit, as the
// other end will give none.
func NewEndpoint(conn *Conn, window int) *Endpoint {
	return &Endpoint{conn: conn, gate: newGate(window), queue: newQueue()}
}

// Run takes in what comes until the stream ends, and returns why: nil after the lower end has said how it ended, which End tells.
func (e *Endpoint) Run(ctx context.Context) error {
	err := e.run(ctx)
	if err == nil {
		e.queue.end(io.EOF)
		e.conn.Finish() // which the other end waits for
	} else {
		e.queue.end(err)
	}
	return err
}

func (e *Endpoint) run(ctx context.Context) error {
	for {
		kind, data, err := e.conn.Receive(ctx)
		if err != nil {
			return err
		}
		switch kind {
		case wire.StreamStdin, wire.StreamStdout, wire.StreamStderr:
			n := int64(len(data))
			if err := e.queue.put(kind, data); err != nil {
				e.conn.Abort(err)
				return err
			}
			e.mu.Lock()
			e.came += n
			e.mu.Unlock()
		case wire.StreamControl:
			var m wire.StreamControlMessage
			if err := json.Unmarshal(data, &m); err != nil {
				return fmt.Errorf("read control message of stream: %w", err)
			}
			e.gate.give(m.Credit)
			if m.EOF {
				e.queue.end(io.EOF)
			}
			if e.OnControl != nil {
				e.OnControl(m)
			}
		case wire.StreamEnd:
			var m wire.StreamEndMessage
			if err := json.Unmarshal(data, &m); err != nil {
				return fmt.Errorf("read end of stream: %w", err)
			}
			e.mu.Lock()
			e.end = &m
			e.mu.Unlock()
			return nil
		}
		// Others are of a version to come.
	}
}

// End returns how the lower end said that it ended; nil if it has not.
func (e *Endpoint) End() *wire.StreamEndMessage {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.end
}

// Came returns how many bytes of data have come. Within OnControl they are those that came before the message.
func (e *Endpoint) Came() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.came
}

// Next waits for data and returns it with its kind. [Endpoint.Taken] has to follow once it is used. When no more comes it returns why, io.EOF
// for an end in order.
func (e *Endpoint) Next(ctx context.Context) (kind byte, data []byte, err error) {
	c, err := e.queue.next(ctx)
	return c.kind, c.data, err
}

// Taken gives credit for n bytes that were used. It is sent in steps of a quarter of the window.
func (e *Endpoint) Taken(n int) error {
	e.mu.Lock()
	e.owed += n
	owed := e.owed
	if owed < wire.StreamWindow/4 {
		e.mu.Unlock()
		return nil
	}
	e.owed = 0
	e.mu.Unlock()
	return e.conn.SendJSON(wire.StreamControl, wire.StreamControlMessage{Credit: owed})
}

// Reader returns all data that comes, of whatever kind, as one stream of bytes. Reading ends with ctx.
func (e *Endpoint) Reader(ctx context.Context) io.Reader { return &reader{e: e, ctx: ctx} }

type reader struct {
	e    *Endpoint
	ctx  context.Context
	rest []byte
}

func (r *reader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		_, data, err := r.e.Next(r.ctx)
		if err != nil {
			return 0, err
		}
		r.rest = data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	// Without credit the other end stands still, which it notices by itself.
	_ = r.e.Taken(n)
	return n, nil
}

// Writer sends what is written to it as data of a kind, as far as there is credit; until then Write waits. It ends with ctx.
func (e *Endpoint) Writer(ctx context.Context, kind byte) io.Writer {
	return &writer{e: e, ctx: ctx, kind: kind}
}

type writer struct {
	e    *Endpoint
	ctx  context.Context
	kind byte
}

func (w *writer) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		n, err := w.e.gate.take(w.ctx, min(len(p)-sent, wire.MaxStreamMessage-1))
		if err != nil {
			return sent, err
		}
		if err := w.e.conn.Send(w.kind, p[sent:sent+n]); err != nil {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// Control sends a control message.
func (e *Endpoint) Control(m wire.StreamControlMessage) error {
	return e.conn.SendJSON(wire.StreamControl, m)
}

// Finish says how the stream ended, from its lower end, and closes it.
func (e *Endpoint) Finish(m wire.StreamEndMessage) {
	_ = e.conn.SendJSON(wire.StreamEnd, m)
	e.conn.Finish()
}

// ErrorOf returns the error that a stream ended with, nil if it ended well.
func ErrorOf(m wire.StreamEndMessage) error {
	if m.Error == "" {
		return nil
	}
	return errors.New(m.Error)
}
