// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// hop returns both ends of a connection; cut cuts it without a word, so that either end hears nothing more.
func hop(t *testing.T) (server, client *Conn, cut func()) {
	t.Helper()
	accepted := make(chan *Conn, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r)
		if err == nil {
			accepted <- c
			<-c.ctx.Done()
		}
	}))
	proxy, cut := relay(t, s.Listener.Addr().String())
	client, err := Dial(t.Context(), "http://"+proxy, nil, nil)
	require.NoError(t, err)
	server = <-accepted
	t.Cleanup(func() {
		server.Abort(errors.New("the test is over"))
		client.Abort(errors.New("the test is over"))
		s.Close()
	})
	return server, client, cut
}

// relay passes bytes on until it is cut, and then only takes them.
func relay(t *testing.T, to string) (addr string, cut func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	var off atomic.Bool
	pass := func(dst, src net.Conn) {
		buf := make([]byte, 4096)
		for {
			n, err := src.Read(buf)
			if err != nil {
				if !off.Load() {
					_ = dst.Close()
				}
				return
			}
			if !off.Load() {
				_, _ = dst.Write(buf[:n])
			}
		}
	}
	go func() {
		for {
			a, err := ln.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = a.Close(); _ = b.Close() })
			go pass(a, b)
			go pass(b, a)
		}
	}()
	return ln.Addr().String(), func() { off.Store(true) }
}

// chain is a user, a tier between and a worker.
type chain struct {
	user, worker *Endpoint
	spliced      chan error
	cutBelow     func()
	upper, lower *Conn // the tier's
	userConn     *Conn
	workerConn   *Conn
}

func newChain(t *testing.T, window int) *chain {
	t.Helper()
	upper, userConn, _ := hop(t)
	lower, workerConn, cut := hop(t)
	c := &chain{user: NewEndpoint(userConn, wire.StreamWindow), worker: NewEndpoint(workerConn, window), spliced: make(chan error, 1), cutBelow: cut,
		upper: upper, lower: lower, userConn: userConn, workerConn: workerConn}
	go func() { c.spliced <- Splice(t.Context(), upper, lower, "the worker") }()
	return c
}

// settle has both ends heard once, after which everybody looks after its peer.
func (c *chain) settle(t *testing.T) {
	t.Helper()
	require.NoError(t, c.user.Control(wire.StreamControlMessage{Signal: "none"}))
	require.NoError(t, c.worker.Control(wire.StreamControlMessage{Position: "0"}))
}

func TestBytesTravelBothWaysAndTheEndIsTold(t *testing.T) {
	c := newChain(t, wire.StreamWindow)
	ran := make(chan error, 2)
	go func() { ran <- c.user.Run(t.Context()) }()
	go func() { ran <- c.worker.Run(t.Context()) }()
	input := bytes.Repeat([]byte("input of many windows "), 100_000)
	go func() {
		_, _ = c.user.Writer(t.Context(), wire.StreamStdin).Write(input)
		_ = c.user.Control(wire.StreamControlMessage{EOF: true})
	}()
	go func() { // the worker echoes
		n, err := io.Copy(c.worker.Writer(t.Context(), wire.StreamStdout), c.worker.Reader(t.Context()))
		code := 3
		if err != nil || n != int64(len(input)) {
			code = 99
		}
		c.worker.Finish(wire.StreamEndMessage{ExitCode: &code})
	}()
	back, err := io.ReadAll(c.user.Reader(t.Context()))
	require.NoError(t, err)
	require.True(t, bytes.Equal(input, back))
	require.NoError(t, <-c.spliced)
	require.Equal(t, 3, *c.user.End().ExitCode)
}

// TestSlowReaderStopsTheWriterAndNothingElse: a reader that pauses longer than a dead peer is waited for loses nothing, and nobody holds more
// than a window.
func TestSlowReaderStopsTheWriterAndNothingElse(t *testing.T) {
	if testing.Short() {
		t.Skip("waits longer than a dead peer is waited for")
	}
	t.Parallel()
	c := newChain(t, wire.StreamWindow)
	c.settle(t)
	go func() { _ = c.user.Run(t.Context()) }()
	go func() { _ = c.worker.Run(t.Context()) }()
	var written atomic.Int64
	const total = 64 << 20
	go func() {
		w := c.worker.Writer(t.Context(), wire.StreamStdout)
		for written.Load() < total {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
			written.Add(64 << 10)
		}
		c.worker.Finish(wire.StreamEndMessage{})
	}()
	time.Sleep(pingEvery + pingTimeout + 2*time.Second)
	require.LessOrEqual(t, written.Load(), int64(wire.StreamWindow), "the writer stands still")
	n, err := io.Copy(io.Discard, c.user.Reader(t.Context()))
	require.NoError(t, err)
	require.EqualValues(t, total, n)
}

func TestWhoGivesNoCreditIsHeldByTheConnections(t *testing.T) {
	t.Parallel()
	c := newChain(t, 0)
	go func() { _ = c.worker.Run(t.Context()) }()
	failed := make(chan error, 1)
	go func() {
		w := c.worker.Writer(t.Context(), wire.StreamStdout)
		for {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				failed <- err
				return
			}
		}
	}()
	select { // the user never reads
	case <-failed:
	case <-time.After(40 * time.Second):
		t.Fatal("who takes nothing is never ended")
	}
	require.Error(t, <-c.spliced)
}

func TestLossBelowIsToldWithinTenSeconds(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"killed", "cut"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			c := newChain(t, wire.StreamWindow)
			heard, ran := make(chan struct{}, 1), make(chan error, 1)
			c.user.OnControl = func(wire.StreamControlMessage) { heard <- struct{}{} }
			go func() { ran <- c.user.Run(t.Context()) }()
			go func() { _ = c.worker.Run(t.Context()) }()
			c.settle(t)
			<-heard
			began := time.Now()
			if how == "killed" {
				c.workerConn.Abort(errors.New("killed"))
			} else {
				c.cutBelow()
			}
			require.NoError(t, <-ran)
			require.Equal(t, wire.StreamLost, c.user.End().Code)
			require.Contains(t, c.user.End().Error, "lost the worker: ")
			require.Less(t, time.Since(began), 10*time.Second)
			require.Error(t, <-c.spliced)
		})
	}
}

func TestUserGoingEndsTheWorker(t *testing.T) {
	c := newChain(t, wire.StreamWindow)
	c.settle(t)
	ended := make(chan error, 1)
	go func() { ended <- c.worker.Run(t.Context()) }()
	c.userConn.Finish()
	require.Error(t, <-ended)
	require.Error(t, <-c.spliced)
}

func TestPeersThatKeepToNothingAreEnded(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(c *Conn) error
		want string
	}{
		"too large":   {func(c *Conn) error { return c.Send(wire.StreamStdin, make([]byte, wire.MaxStreamMessage)) }, "larger than"},
		"empty":       {func(c *Conn) error { return c.forward(nil) }, "empty"},
		"no JSON":     {func(c *Conn) error { return c.Send(wire.StreamControl, []byte("{")) }, "control message"},
		"no end":      {func(c *Conn) error { return c.Send(wire.StreamEnd, []byte("[]")) }, "end of stream"},
		"beyond what": {flood, "more data"},
	} {
		t.Run(name, func(t *testing.T) {
			server, client, _ := hop(t)
			e := NewEndpoint(server, wire.StreamWindow)
			done := make(chan error, 1)
			go func() { done <- e.Run(t.Context()) }()
			_ = tc.do(client)
			err := <-done
			require.ErrorContains(t, err, tc.want)
			_, _, again := e.Next(t.Context())
			for again == nil {
				_, _, again = e.Next(t.Context())
			}
			require.Equal(t, err, again)
		})
	}
}

func flood(c *Conn) error {
	for range wire.StreamWindow/1024 + 1 {
		if err := c.Send(wire.StreamStdin, make([]byte, 1024)); err != nil {
			return err
		}
	}
	return nil
}

func TestDialTellsARefusal(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "Bearer secret", r.Header.Get("Authorization"))
		require.Equal(t, "/api/v1/streams/0123", r.URL.Path)
		http.Error(w, "no such stream", http.StatusNotFound)
	}))
	t.Cleanup(s.Close)
	_, err := DialUp(t.Context(), s.URL+"/", nil, wire.StreamRequest{ID: "0123", Secret: "secret"})
	var refusal *Refusal
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, 404, refusal.Status)
	require.Equal(t, "no such stream", strings.TrimSpace(string(refusal.Body)))
	_, err = DialUp(t.Context(), "https://127.0.0.1:1", nil, wire.StreamRequest{URL: "http://127.0.0.1:1"})
	require.ErrorContains(t, err, "open stream")
}

func TestCreditIsNeverMoreThanAWindow(t *testing.T) {
	g := newGate(1)
	for range 5 {
		g.give(1 << 40)
		g.give(-1)
	}
	n, err := g.take(t.Context(), 1<<30)
	require.NoError(t, err)
	require.Equal(t, wire.StreamWindow, n)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = g.take(ctx, 1)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
