// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Doc is a JSON object.
type Doc = map[string]any

// Client is a user who is logged in.
type Client struct {
	base, user     string
	token, refresh string
	http           *http.Client
}

// Login logs a user in at an address such as http://host:10000.
func Login(ctx context.Context, base, user, password string) (*Client, error) {
	c := &Client{base: base, user: user, http: &http.Client{Timeout: 30 * time.Second}}
	var pair struct {
		Token   string `json:"token"`
		Refresh string `json:"refresh_token"`
	}
	err := c.call(ctx, http.MethodPost, "/api/auth/login", Doc{"username": user, "password": password}, &pair)
	if err == nil && (pair.Token == "" || pair.Refresh == "") {
		err = fmt.Errorf("a login gives token and refresh_token")
	}
	c.token, c.refresh = pair.Token, pair.Refresh
	return c, err
}

// Renew gets a new token by the refresh token.
func (c *Client) Renew(ctx context.Context) error {
	old := c.token
	c.token = c.refresh
	var answer struct {
		Token string `json:"token"`
	}
	err := c.call(ctx, http.MethodPost, "/api/auth/refresh", nil, &answer)
	if c.token = answer.Token; err == nil && answer.Token == "" {
		err = fmt.Errorf("a refresh gives a token")
	}
	if err != nil {
		c.token = old
	}
	return err
}

// StatusError is an answer that is no success.
type StatusError struct {
	Status        int
	Method, Path  string
	Body, Message string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: %d %s", e.Method, e.Path, e.Status, e.Body)
}

// call sends a request and reads its answer, which has to be JSON.
func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		reader = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var told struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(text, &told)
		return &StatusError{resp.StatusCode, method, path, string(text), told.Message}
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s %s: %.200q is not what the reference says: %w", method, path, text, err)
	}
	return nil
}
