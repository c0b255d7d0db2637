// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Target is a workload as a probe reaches it. Its methods give up with their context.
type Target interface {
	// Dial connects to a TCP port at the workload's own address.
	Dial(ctx context.Context, port uint16) (net.Conn, error)
	// Execute runs a command beside the workload and returns its exit status. The command does not outlive the context.
	Execute(ctx context.Context, command []string) (status uint32, err error)
}

// maxBody bounds what is read of an answer, so that the server can finish it.
const maxBody = 16 << 10

// String says what a probe asks, for people.
func String(p *wire.Probe) string {
	switch {
	case p.Exec != nil:
		return "command " + clip(strings.Join(p.Exec.Command, " "))
	case p.HTTP != nil:
		return fmt.Sprintf("HTTP GET of %s on port %d", clip(pathOf(p.HTTP)), p.HTTP.Port)
	case p.TCP != nil:
		return fmt.Sprintf("TCP connection to port %d", p.TCP.Port)
	}
	return "no question"
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}

func pathOf(h *wire.HTTPProbe) string {
	if !strings.HasPrefix(h.Path, "/") {
		return "/" + h.Path
	}
	return h.Path
}

// ask puts the question once; nil is success.
func ask(ctx context.Context, p *wire.Probe, t Target) error {
	switch {
	case p.Exec != nil:
		status, err := t.Execute(ctx, p.Exec.Command)
		if err != nil {
			return err
		}
		if status != 0 {
			return fmt.Errorf("it ended with status %d", status)
		}
		return nil
	case p.HTTP != nil:
		return get(ctx, p.HTTP, t)
	case p.TCP != nil:
		conn, err := t.Dial(ctx, p.TCP.Port)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	return errors.New("the probe asks nothing: name one of exec, http and tcp")
}

func get(ctx context.Context, h *wire.HTTPProbe, t Target) error {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := t.Dial(ctx, h.Port)
			if err != nil {
				return nil, &dialError{err}
			}
			return conn, nil
		},
		DisableKeepAlives: true,
		// A header without end must not fill the memory.
		MaxResponseHeaderBytes: maxBody,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort("localhost", strconv.Itoa(int(h.Port)))+pathOf(h), nil)
	if err != nil {
		return fmt.Errorf("path %q: %w", clip(h.Path), errors.Unwrap(err))
	}
	req.Header.Set("User-Agent", "oakestra-probe/1")
	resp, err := client.Do(req)
	if err != nil {
		return discreet(err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody))
	_ = resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("it answered with status %d", resp.StatusCode)
	}
	return nil
}

// dialError is a connection that did not come about.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// discreet returns what went wrong without what the workload has answered, which some errors of net/http quote.
func discreet(err error) error {
	var dial *dialError
	var errno syscall.Errno
	switch {
	case errors.As(err, &dial):
		return dial.err
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it closed the connection without an answer")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return context.DeadlineExceeded
	}
	return errors.New("what it answered is not HTTP, or too much of it")
}

// asker puts one question at a time, and waits for none longer than the time-out, whatever the target does with its context.
type asker struct {
	probe   *wire.Probe
	target  Target
	timeout time.Duration
	pending chan struct{} // closed once the last question has ended; nil before the first
}

// afterTimeout is how long a question may take to notice that its time is up.
const afterTimeout = 500 * time.Millisecond

func (a *asker) ask(ctx context.Context) error {
	if a.pending != nil {
		select {
		case <-a.pending:
		default:
			return fmt.Errorf("the one before, given up after %s, still hangs", a.timeout)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	ended := make(chan struct{})
	a.pending = ended
	var result error // read once ended is closed
	go func() {
		defer close(ended)
		result = ask(ctx, a.probe, a.target)
	}()
	late := fmt.Errorf("no answer within %s", a.timeout)
	select {
	case <-ended:
		if result != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return late
		}
		return result
	case <-ctx.Done():
	}
	select { // it mostly ends at once
	case <-ended:
	case <-time.After(afterTimeout):
	}
	return late
}
