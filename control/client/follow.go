// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// quiet is how long an event stream may say nothing: root says something every 10 s.
	quiet = 30 * time.Second
	// maxEventLine bounds a line of an event stream, in bytes.
	maxEventLine = 1 << 20
)

// EventFilter says which events to follow; empty for all that the user may see.
type EventFilter struct {
	Application, Service ID
	// Number is the instance's; [AllInstances] for all.
	Number int
	// Since begins after the event with this id; 0 for all that is known; negative for what happens from now on.
	Since int64
}

// StreamedEvent is an event of any instance.
type StreamedEvent struct {
	Event
	ID            int64  `json:"id"`
	ServiceID     ID     `json:"service_id"`
	JobName       string `json:"job_name"`
	ApplicationID ID     `json:"application_id"`
}

// FollowEvents calls each with what becomes of instances until ctx ends or each fails. A connection that is lost is opened again, and
// nothing is missed meanwhile; lost, if not nil, is told of it. A refusal ends it.
func (c *Client) FollowEvents(ctx context.Context, f EventFilter, each func(StreamedEvent) error, lost func(error)) error {
	wait := firstBackoff
	for {
		began := time.Now()
		err := c.followOnce(ctx, &f, each)
		var stop *stopError
		switch {
		case errors.As(err, &stop):
			return stop.err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !IsUnreachable(err) && !HasStatus(err, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout):
			return err
		}
		if lost != nil {
			lost(err)
		}
		if time.Since(began) > maxBackoff {
			wait = firstBackoff
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, maxBackoff)
	}
}

// stopError is an error of who is told events.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }

// followOnce follows over one connection and notes in f where to go on.
func (c *Client) followOnce(ctx context.Context, f *EventFilter, each func(StreamedEvent) error) error {
	token, refresh := c.tokens()
	err := c.readEvents(ctx, f, token, each)
	if HasStatus(err, http.StatusUnauthorized) && refresh != "" {
		if renewed, renewErr := c.renew(ctx, token); renewErr == nil {
			err = c.readEvents(ctx, f, renewed, each)
		}
	}
	return err
}

func (c *Client) readEvents(ctx context.Context, f *EventFilter, token string, each func(StreamedEvent) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	q := url.Values{}
	for key, value := range map[string]string{"application": string(f.Application), "service": string(f.Service)} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if f.Number != AllInstances {
		q.Set("instance", strconv.Itoa(f.Number))
	}
	path := c.base + "/api/v1/events?" + q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Authorization", "Bearer "+token)
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	if f.Since >= 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatInt(f.Since, 10))
	}
	endless := &http.Client{Transport: c.http.Transport, CheckRedirect: refuseRedirect}
	resp, err := endless.Do(req)
	if err != nil {
		return &connectionError{c.base, err}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		return errorOf(http.MethodGet, path, resp.StatusCode, body)
	}
	silence := time.AfterFunc(quiet, func() { cancel(fmt.Errorf("root has said nothing for %s", quiet)) })
	defer silence.Stop()
	err = parseEvents(resp.Body, f, each, func() { silence.Reset(quiet) })
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	var stop *stopError
	if errors.As(err, &stop) {
		return err
	}
	return &connectionError{c.base, fmt.Errorf("the stream of events ended: %w", err)}
}

// parseEvents reads server-sent events.
func parseEvents(r io.Reader, f *EventFilter, each func(StreamedEvent) error, heard func()) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEventLine)
	var id, name, data string
	for lines.Scan() {
		heard()
		key, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if name == "instance" && data != "" {
				var e StreamedEvent
				if err := json.Unmarshal([]byte(data), &e); err != nil {
					return &stopError{fmt.Errorf("an event is not what this program expects: %w", err)}
				}
				if err := each(e); err != nil {
					return &stopError{err}
				}
				if n, err := strconv.ParseInt(id, 10, 64); err == nil {
					f.Since = n
				}
			}
			name, data = "", ""
		case key == "id":
			id = value
		case key == "event":
			name = value
		case key == "data":
			data += value
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}
