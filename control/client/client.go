// SPDX-License-Identifier: Apache-2.0

package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Defaults of [Options].
const (
	// DefaultTimeout bounds one attempt of a request, its answer included.
	DefaultTimeout = 30 * time.Second
	// DefaultAttempts is how often a repeatable request is tried in all.
	DefaultAttempts = 4
)

// ErrURL is wrapped by the errors of [New] for an address that cannot be used.
var ErrURL = errors.New("unusable API address")

// Options configures a [Client].
type Options struct {
	// URL is root's address, such as https://root.example.org:10000.
	URL string
	// TLS verifies the server; nil uses the system's authorities.
	TLS *tls.Config
	// Token and RefreshToken are those of an earlier login; empty before the first.
	Token, RefreshToken string
	// OnTokens is called with each new pair, so that they can be kept; may be nil. It must not call the client.
	OnTokens func(token, refresh string)
	// Timeout bounds one attempt, [DefaultTimeout] if 0.
	Timeout time.Duration
	// Attempts bounds how often a repeatable request is tried, [DefaultAttempts] if 0.
	Attempts int
	// UserAgent names the program.
	UserAgent string
}

// Client talks to one root orchestrator. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
	// tls is for streams, which have connections of their own.
	tls      *tls.Config
	onTokens func(token, refresh string)
	attempts int
	agent    string

	mu             sync.Mutex // guards the tokens
	token, refresh string
	renewing       sync.Mutex // one renewal at a time
}

// New returns a client. It does not connect. The error wraps [ErrURL].
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("%w: %q: expected http://HOST:PORT or https://HOST:PORT", ErrURL, o.URL)
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("%w: %q: leave out user, query and fragment", ErrURL, u.Redacted())
	}
	c := &Client{
		base: strings.TrimRight(u.String(), "/"), onTokens: o.OnTokens, attempts: o.Attempts, agent: o.UserAgent,
		token: o.Token, refresh: o.RefreshToken, tls: o.TLS,
	}
	if c.attempts <= 0 {
		c.attempts = DefaultAttempts
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       o.TLS,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: DefaultTimeout,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   8,
	}
	c.http = &http.Client{Transport: transport, Timeout: o.Timeout, CheckRedirect: refuseRedirect}
	if c.http.Timeout <= 0 {
		c.http.Timeout = DefaultTimeout
	}
	return c, nil
}

// refuseRedirect keeps tokens from being carried to another host.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// URL returns root's address without a slash at its end.
func (c *Client) URL() string { return c.base }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) tokens() (token, refresh string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token, c.refresh
}

func (c *Client) setTokens(token, refresh string) {
	c.mu.Lock()
	c.token, c.refresh = token, refresh
	c.mu.Unlock()
	if c.onTokens != nil {
		c.onTokens(token, refresh)
	}
}
