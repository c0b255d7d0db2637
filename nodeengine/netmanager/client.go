// SPDX-License-Identifier: Apache-2.0

package netmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// requestTimeout bounds one call; attaching takes milliseconds. maxAnswer bounds what is read of an answer, in bytes.
const (
	requestTimeout = 10 * time.Second
	maxAnswer      = 8 << 20
)

// Client calls the local API of NetManager.
type Client struct {
	at   Address
	http *http.Client
}

// New returns a client of the API on the Unix socket at path; nothing is dialled yet.
func New(socket string) *Client { return NewAt(Address{Socket: socket}) }

// NewAt is [New] for any address.
func NewAt(at Address) *Client {
	return &Client{at: at, http: &http.Client{
		Timeout:   requestTimeout,
		Transport: &http.Transport{DialContext: at.dial, MaxIdleConns: 4, IdleConnTimeout: 30 * time.Second},
	}}
}

// Status returns NetManager's own state.
func (c *Client) Status(ctx context.Context) (wire.LocalStatus, error) {
	var s wire.LocalStatus
	return s, c.call(ctx, http.MethodGet, wire.PathLocalStatus, nil, &s)
}

// PutIdentity hands NetManager the worker's identity.
func (c *Client) PutIdentity(ctx context.Context, id wire.LocalIdentity) error {
	return c.call(ctx, http.MethodPut, wire.PathLocalIdentity, id, nil)
}

// Attach gives the namespace its addresses; asking again changes nothing.
func (c *Client) Attach(ctx context.Context, a wire.LocalAttach) (wire.LocalEndpoint, error) {
	var e wire.LocalEndpoint
	return e, c.call(ctx, http.MethodPut, wire.PathLocalEndpoints, a, &e)
}

// Endpoints returns all attached namespaces.
func (c *Client) Endpoints(ctx context.Context) ([]wire.LocalEndpoint, error) {
	var e []wire.LocalEndpoint
	return e, c.call(ctx, http.MethodGet, wire.PathLocalEndpoints, nil, &e)
}

// Detach takes the addresses of this generation, and of lower ones, back. An endpoint that is not there is no error.
func (c *Client) Detach(ctx context.Context, k wire.InstanceKey, g wire.Generation) error {
	path := strings.NewReplacer("{id}", url.PathEscape(k.ServiceID), "{number}", strconv.Itoa(k.Number)).Replace(wire.PathLocalEndpoint)
	err := c.call(ctx, http.MethodDelete, path+"?generation="+g.String(), nil, nil)
	var s *StatusError
	if errors.As(err, &s) && s.Code == http.StatusNotFound {
		return nil
	}
	return err
}

// StatusError is a refusal by NetManager.
type StatusError struct {
	Code    int
	Message string
	// Other says that another worker may be able to do what this one cannot.
	Other bool
}

// Elsewhere reports whether another worker may be able to do what was asked for.
func (e *StatusError) Elsewhere() bool { return e.Other }

func (e *StatusError) Error() string {
	return fmt.Sprintf("NetManager refused (%d): %s", e.Code, e.Message)
}

// call sends in as JSON, if not nil, and reads the answer into out, if not nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("call NetManager: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://netmanager"+path, body)
	if err != nil {
		return fmt.Errorf("call NetManager: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if err := c.at.sign(req); err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error // its text repeats method and address, which say nothing here
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("NetManager does not answer on %s: %w: is it running?", c.at, err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read NetManager's answer: %w", err)
	}
	if resp.StatusCode >= 300 {
		var e wire.LocalError
		if json.Unmarshal(data, &e) != nil || e.Error == "" {
			e.Error = http.StatusText(resp.StatusCode)
		}
		return &StatusError{Code: resp.StatusCode, Message: e.Error, Other: e.Elsewhere}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("understand NetManager's answer: %w", err)
	}
	return nil
}
