// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/stream"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// openTimeout bounds how long a stream takes to begin: root waits for cluster and worker meanwhile.
const openTimeout = 40 * time.Second

// LogOptions say what to read of a log.
type LogOptions struct {
	// Follow goes on until the instance ends.
	Follow bool
	// Tail is how many of the last lines are wanted; negative for all.
	Tail int
	// Since leaves out what is older; 0 for nothing.
	Since time.Duration
	// Timestamps puts the time before each line.
	Timestamps bool
	// From goes on at a position that was told, in place of Tail and Since.
	From string
}

// ExecOptions say what to run in an instance, and what it is connected to.
type ExecOptions struct {
	Command []string
	// TTY gives it a terminal of Size; Resize, if not nil, brings new sizes.
	TTY    bool
	Size   wire.TerminalSize
	Resize <-chan wire.TerminalSize
	// Stdin may be nil.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// StreamError is an error that ended a stream which had begun.
type StreamError struct {
	// Code names it for programs, such as wire.StreamLost.
	Code string
	Err  error
}

func (e *StreamError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *StreamError) Unwrap() error { return e.Err }

// Logs writes an instance's log to out, and what is to be said of it to note, until its end. told, if not nil, is called with positions from
// which another call can go on, each once all before it was written.
func (c *Client) Logs(ctx context.Context, service ID, number int, o LogOptions, out, note io.Writer, told func(position string)) error {
	q := url.Values{"window": {strconv.Itoa(wire.StreamWindow)}}
	set := func(key string, given bool, value string) {
		if given {
			q.Set(key, value)
		}
	}
	set("follow", o.Follow, "true")
	set("timestamps", o.Timestamps, "true")
	set("tail", o.Tail >= 0, strconv.Itoa(o.Tail))
	set("since", o.Since > 0, o.Since.String())
	set("from", o.From != "", o.From)
	s, err := c.open(ctx, service, number, "logs", q, out, note)
	if err != nil {
		return err
	}
	s.told = told
	_, err = s.run(ctx)
	return err
}

// Exec runs a command in an instance and returns its exit code.
func (c *Client) Exec(ctx context.Context, service ID, number int, o ExecOptions) (code int, err error) {
	q := url.Values{"window": {strconv.Itoa(wire.StreamWindow)}, "command": o.Command}
	if o.TTY {
		q.Set("tty", "true")
		q.Set("columns", strconv.Itoa(int(o.Size.Columns)))
		q.Set("rows", strconv.Itoa(int(o.Size.Rows)))
	}
	if o.Stdin != nil {
		q.Set("stdin", "true")
	}
	s, err := c.open(ctx, service, number, "exec", q, o.Stdout, o.Stderr)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.Stdin != nil {
		go func() { // which the input outlives if it is a terminal
			_, err := io.Copy(s.end.Writer(ctx, wire.StreamStdin), o.Stdin)
			if err == nil {
				_ = s.end.Control(wire.StreamControlMessage{EOF: true})
			}
		}()
	}
	if o.Resize != nil {
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case size := <-o.Resize:
					_ = s.end.Control(wire.StreamControlMessage{Resize: &size})
				}
			}
		}()
	}
	last, err := s.run(ctx)
	if err == nil && last.ExitCode == nil {
		err = &StreamError{wire.StreamFailed, errors.New("the stream ended without an exit code")}
	}
	if err != nil {
		return 0, err
	}
	return *last.ExitCode, nil
}

// output is the user's end of a stream.
type output struct {
	conn     *stream.Conn
	end      *stream.Endpoint
	out, err io.Writer
	told     func(string)

	mu    sync.Mutex
	taken int64 // bytes that were passed on
	// marks are positions of what was not passed on yet.
	marks []positionMark
}

type positionMark struct {
	after    int64
	position string
}

// open opens a stream. An access token that the server refuses is renewed once.
func (c *Client) open(ctx context.Context, service ID, number int, what string, q url.Values, out, err io.Writer) (*output, error) {
	path := fmt.Sprintf("/api/v1/service/%s/instance/%d/%s?%s", url.PathEscape(string(service)), number, what, q.Encode())
	token, refresh := c.tokens()
	conn, failed := c.dial(ctx, path, token)
	if HasStatus(failed, http.StatusUnauthorized) && refresh != "" {
		if renewed, renewErr := c.renew(ctx, token); renewErr == nil {
			conn, failed = c.dial(ctx, path, renewed)
		}
	}
	if failed != nil {
		return nil, failed
	}
	return &output{conn: conn, end: stream.NewEndpoint(conn, wire.StreamWindow), out: out, err: err}, nil
}

func (c *Client) dial(ctx context.Context, path, token string) (*stream.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	header := http.Header{"Authorization": {"Bearer " + token}}
	if c.agent != "" {
		header.Set("User-Agent", c.agent)
	}
	conn, err := stream.Dial(ctx, c.base+path, c.tls, header)
	var refused *stream.Refusal
	if errors.As(err, &refused) {
		return nil, errorOf(http.MethodGet, c.base+path, refused.Status, refused.Body)
	}
	if err != nil {
		return nil, &connectionError{c.base, err}
	}
	return conn, nil
}

// run passes on what comes until the stream ends.
func (s *output) run(ctx context.Context) (wire.StreamEndMessage, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.end.OnControl = func(m wire.StreamControlMessage) {
		if m.Position != "" {
			s.note(m.Position)
		}
	}
	ran := make(chan error, 1)
	go func() { ran <- s.end.Run(ctx) }()
	defer func() { s.conn.Abort(errors.New("the stream is over")); cancel() }()
	for {
		kind, data, err := s.end.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return wire.StreamEndMessage{}, context.Cause(ctx)
			}
			break
		}
		w := s.out
		if kind == wire.StreamStderr {
			w = s.err
		}
		if _, err := w.Write(data); err != nil {
			return wire.StreamEndMessage{}, fmt.Errorf("write what came: %w", err)
		}
		_ = s.end.Taken(len(data)) // if that fails the stream has ended, which Next tells
		s.took(len(data))
	}
	if err := <-ran; err != nil {
		if ctx.Err() != nil {
			return wire.StreamEndMessage{}, context.Cause(ctx)
		}
		return wire.StreamEndMessage{}, &StreamError{wire.StreamLost, fmt.Errorf("lost the connection to root: %w", err)}
	}
	last := *s.end.End()
	if err := stream.ErrorOf(last); err != nil {
		return last, &StreamError{last.Code, err}
	}
	return last, nil
}

// note remembers a position of what has come so far.
func (s *output) note(position string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	came := s.end.Came()
	if n := len(s.marks); n > 0 && s.marks[n-1].after == came {
		s.marks = s.marks[:n-1]
	}
	s.marks = append(s.marks, positionMark{came, position})
	s.tell()
}

// took notes that so many bytes more were passed on.
func (s *output) took(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken += int64(n)
	s.tell()
}

// tell tells the last position before which everything was passed on. The lock is held.
func (s *output) tell() {
	last := -1
	for i, m := range s.marks {
		if m.after <= s.taken {
			last = i
		}
	}
	if last >= 0 {
		if s.told != nil {
			s.told(s.marks[last].position)
		}
		s.marks = append([]positionMark(nil), s.marks[last+1:]...)
	}
}
