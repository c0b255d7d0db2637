// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Times by which a dead peer is noticed: within the sum of the first two.
const (
	pingEvery    = 2 * time.Second
	pingTimeout  = 5 * time.Second
	writeTimeout = 8 * time.Second
)

// errSilent ends a connection whose other end does not answer.
var errSilent = fmt.Errorf("the other end has not answered for %s", pingTimeout)

// Conn is one hop of a stream. Send may be called concurrently, Receive by one at a time. It has to be closed.
type Conn struct {
	ws     *websocket.Conn
	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  sync.Once
	closed atomic.Bool
}

// Accept makes a Conn of a request. If that fails it has answered.
func Accept(w http.ResponseWriter, r *http.Request) (*Conn, error) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return nil, fmt.Errorf("accept stream: %w", err)
	}
	return newConn(ws), nil
}

// IsUpgrade reports whether a request asks for a WebSocket.
func IsUpgrade(r *http.Request) bool {
	return r.Header.Get("Sec-WebSocket-Key") != "" && r.Header.Get("Upgrade") != ""
}

func newConn(ws *websocket.Conn) *Conn {
	ws.SetReadLimit(wire.MaxStreamMessage)
	c := &Conn{ws: ws}
	// It lives until it is closed, whatever request it came from.
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// Send sends one message. It fails if the other end takes nothing for 8 s, which ends the connection.
func (c *Conn) Send(kind byte, data []byte) error {
	message := make([]byte, 1+len(data))
	message[0] = kind
	copy(message[1:], data)
	return c.forward(message)
}

// SendJSON sends one message of JSON.
func (c *Conn) SendJSON(kind byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("send on stream: %w", err)
	}
	return c.Send(kind, data)
}

// forward sends a message with its first byte.
func (c *Conn) forward(message []byte) error {
	ctx, cancel := context.WithTimeoutCause(c.ctx, writeTimeout, fmt.Errorf("the other end has taken nothing for %s", writeTimeout))
	defer cancel()
	if err := c.ws.Write(ctx, websocket.MessageBinary, message); err != nil {
		err = c.reason(ctx, err)
		c.Abort(err)
		return fmt.Errorf("send on stream: %w", err)
	}
	return nil
}

// Receive returns the next message. Its error says why there is none: the other end closed, or is dead.
func (c *Conn) Receive(ctx context.Context) (kind byte, data []byte, err error) {
	message, err := c.message(ctx)
	if err != nil {
		return 0, nil, err
	}
	return message[0], message[1:], nil
}

// message returns the next message with its first byte.
func (c *Conn) message(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })()
	typ, message, err := c.ws.Read(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("receive from stream: %w", c.reason(ctx, err))
	case typ != websocket.MessageBinary || len(message) == 0:
		err := errors.New("receive from stream: a message is not binary, or empty")
		c.Abort(err)
		return nil, err
	}
	// Who has said something reads as well, and so answers pings.
	c.watch.Do(func() { go c.keepAlive() })
	return message, nil
}

// reason prefers why a connection was ended here to what that looks like.
func (c *Conn) reason(ctx context.Context, err error) error {
	if cause := context.Cause(c.ctx); cause != nil {
		return cause
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		if closed.Code == websocket.StatusMessageTooBig {
			return fmt.Errorf("a message is larger than %d bytes", wire.MaxStreamMessage)
		}
		if closed.Reason != "" {
			return errors.New(closed.Reason)
		}
		return errors.New("the other end closed the stream")
	}
	if errors.Is(err, websocket.ErrMessageTooBig) {
		return fmt.Errorf("a message is larger than %d bytes", wire.MaxStreamMessage)
	}
	return err
}

// keepAlive ends the connection when the other end stops to answer.
func (c *Conn) keepAlive() {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeoutCause(c.ctx, pingTimeout, errSilent)
		err := c.ws.Ping(ctx)
		if err != nil {
			err = c.reason(ctx, err)
		}
		cancel()
		if err != nil {
			c.Abort(err)
			return
		}
	}
}

// Finish closes the stream after all that was sent, and waits up to 5 s until the other end has read it.
func (c *Conn) Finish() {
	if c.closed.Swap(true) {
		return
	}
	_ = c.ws.Close(websocket.StatusNormalClosure, "")
	c.cancel(errors.New("the stream is closed"))
}

// Abort drops the connection. Receive and Send return why.
func (c *Conn) Abort(why error) {
	c.cancel(why)
	if !c.closed.Swap(true) {
		_ = c.ws.CloseNow()
	}
}
