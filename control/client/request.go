// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// maxAnswer bounds how much of an answer is read.
	maxAnswer = 64 << 20
	// firstBackoff is the mean wait before the second attempt; it doubles from then on.
	firstBackoff = 200 * time.Millisecond
	// maxBackoff bounds a wait, also one that the server asks for.
	maxBackoff = 5 * time.Second
)

// call is one request: what is asked, and into what the answer is read.
type call struct {
	method, path string
	body         any
	answer       any
	// bearer replaces the access token; anonymous sends none.
	bearer    string
	anonymous bool
	// repeatable says that the request may be sent twice although its method does not imply it.
	repeatable bool
	// creates says that root, if the request comes with a key, carries it out once however often it is sent.
	creates bool
}

// Root remembers what it has answered to a request with a key of the client's, for a day and so many of them.
const (
	headerOnce  = "Idempotency-Key"
	tooManyKeys = "too_many_keys"
)

// ask sends a request and returns its answer.
func ask[T any](ctx context.Context, c *Client, q call) (T, error) {
	var answer T
	q.answer = &answer
	err := c.do(ctx, q)
	return answer, err
}

// do sends a request. One that creates something has a key of its own, so that it does so once although an answer was lost. An access token
// that the server refuses is renewed once.
func (c *Client) do(ctx context.Context, q call) error {
	key := ""
	if q.creates {
		key = crand.Text()
	}
	err := c.doOnce(ctx, q, key)
	var refused *Error
	if key != "" && errors.As(err, &refused) && refused.Code == tooManyKeys {
		return c.doOnce(ctx, q, "") // root has not done it, and remembers no more keys: then without a second attempt
	}
	return err
}

func (c *Client) doOnce(ctx context.Context, q call, key string) error {
	var body []byte
	switch b := q.body.(type) {
	case nil:
	case []byte:
		body = b
	default:
		var err error
		if body, err = json.Marshal(b); err != nil {
			return fmt.Errorf("marshal request body: %w", err)
		}
	}
	token, refresh := c.tokens()
	if q.bearer != "" {
		token = q.bearer
	}
	err := c.attempt(ctx, q, body, token, key)
	if !HasStatus(err, http.StatusUnauthorized) || q.anonymous || q.bearer != "" || refresh == "" {
		return err
	}
	renewed, renewErr := c.renew(ctx, token)
	if renewErr != nil {
		if HasStatus(renewErr, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity) {
			return err // the login has lapsed: the first refusal says so
		}
		return renewErr
	}
	return c.attempt(ctx, q, body, renewed, key)
}

// attempt sends a request until it is answered, as often as is harmless and allowed.
func (c *Client) attempt(ctx context.Context, q call, body []byte, token, key string) error {
	attempts := c.attempts
	if q.method == http.MethodPost && !q.repeatable && key == "" {
		attempts = 1
	}
	for n := 1; ; n++ {
		retryAfter, err := c.send(ctx, q, body, token, key)
		if err == nil || n >= attempts || !passing(ctx, err) {
			return err
		}
		wait := min(max(retryAfter, firstBackoff<<(n-1)), maxBackoff)
		timer := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("gave up after attempt %d: %w", n, err)
		case <-timer.C:
		}
	}
}

// passing reports whether an error may go away by itself: the connection, or a server that says so.
func passing(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Status == http.StatusBadGateway || e.Status == http.StatusServiceUnavailable
	}
	var lost *connectionError
	var untrusted *tls.CertificateVerificationError
	return errors.As(err, &lost) && !errors.As(err, &untrusted) && !errors.Is(err, http.ErrSchemeMismatch)
}

// connectionError is any failure to send a request or to read its answer.
type connectionError struct {
	base string
	err  error
}

func (e *connectionError) Error() string {
	reason := e.err
	var request *url.Error
	if errors.As(reason, &request) { // it would repeat the address
		reason = request.Err
	}
	return fmt.Sprintf("reach %s: %v", e.base, reason)
}
func (e *connectionError) Unwrap() error { return e.err }

// IsUnreachable reports whether err means that no answer came: nothing listens, the name is unknown, TLS fails, or the
// connection broke.
func IsUnreachable(err error) bool {
	var lost *connectionError
	return errors.As(err, &lost)
}

// send sends a request once. It also returns how long the server asks to wait before the next try.
func (c *Client) send(ctx context.Context, q call, body []byte, token, key string) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, c.base+q.path, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("make request %s %s: %w", q.method, q.path, err)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set(headerOnce, key)
	}
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	if token != "" && !q.anonymous {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, &connectionError{c.base, err}
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, &connectionError{c.base, err}
	case len(answer) > maxAnswer:
		return 0, fmt.Errorf("%s %s: answer is larger than %d bytes", q.method, q.path, maxAnswer)
	case resp.StatusCode/100 != 2:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return time.Duration(min(max(seconds, 0), 60)) * time.Second, errorOf(q.method, c.base+q.path, resp.StatusCode, answer)
	case q.answer == nil || len(answer) == 0:
		return 0, nil
	}
	if err := json.Unmarshal(answer, q.answer); err != nil {
		return 0, fmt.Errorf("%s %s: answer is not what this program expects (is this root's API?): %w", q.method, c.base+q.path, err)
	}
	return 0, nil
}
