// SPDX-License-Identifier: Apache-2.0

package uplink

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const (
	requestTimeout = 15 * time.Second
	// slack is what a blocking query may take longer than it asked to wait.
	slack = 10 * time.Second
	// maxAnswer bounds what is read of an answer. A full desired state of some ten thousand instances is 20 MB.
	maxAnswer = 64 << 20
	// maxRefusal bounds what is read of an error.
	maxRefusal = 4 << 10
)

// Refusal is root's answer when it is not a success.
type Refusal struct {
	Status int
	// Detail is root's own text.
	Detail string
}

func (r *Refusal) Error() string { return fmt.Sprintf("root answered %d: %s", r.Status, r.Detail) }

// Client speaks to root as one cluster. Of several root processes it asks one until that does not answer, then the next.
type Client struct {
	bases []string
	at    atomic.Uint64 // which base, counted on and on
	id    string
	http  *http.Client
	proof *pki.Credentials
}

// New returns a client for the root processes at bases (https://HOST:PORT) that shows the cluster's certificate.
func New(bases []string, id, certPEM, keyPEM, caPEM string) (*Client, error) {
	proof, err := pki.NewCredentials([]byte(certPEM), []byte(keyPEM), []byte(caPEM))
	if err != nil {
		return nil, fmt.Errorf("use identity from root: %w", err)
	}
	return &Client{bases: trimmed(bases), id: id, http: newHTTP(proof.TLS()), proof: proof}, nil
}

func trimmed(bases []string) []string {
	out := make([]string, len(bases))
	for i, b := range bases {
		out[i] = strings.TrimSuffix(b, "/")
	}
	return out
}

func newHTTP(conf *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       conf,
		TLSHandshakeTimeout:   5 * time.Second,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       90 * time.Second,
		ResponseHeaderTimeout: wire.MaxWait + slack,
	}}
}

// Join asks root to take the cluster in. The token pins root's authority, so that nobody else can answer.
func Join(ctx context.Context, bases []string, token string, req wire.ClusterJoinRequest) (resp wire.JoinResponse, err error) {
	t, err := pki.ParseToken(token)
	if err != nil {
		return resp, err
	}
	c := &Client{bases: trimmed(bases), http: newHTTP(pki.PinnedTLS(t.CAHash))}
	defer c.http.CloseIdleConnections()
	for range bases { // what the last one says counts
		err = c.join(ctx, t.String(), req, &resp)
		if refused := (*Refusal)(nil); err == nil || errors.As(err, &refused) && refused.Status < 500 {
			break
		}
	}
	if err != nil {
		return resp, fmt.Errorf("join root: %w", err)
	}
	if !pki.ValidID(resp.ID) || resp.Certificate == "" || resp.CA == "" {
		return resp, errors.New("join root: its answer lacks id or certificates")
	}
	return resp, nil
}

// Credentials are what the client shows root; they may be replaced.
func (c *Client) Credentials() *pki.Credentials { return c.proof }

// Renew asks root for a new certificate for the key of the request.
func (c *Client) Renew(ctx context.Context, csrPEM string) (certPEM string, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var resp wire.JoinResponse
	if err := c.do(ctx, http.MethodPost, c.path(wire.PathClusterRenew), "", wire.ClusterRenewRequest{Format: wire.Format, CSR: csrPEM}, &resp); err != nil {
		return "", fmt.Errorf("renew the certificate from root: %w", err)
	}
	if resp.ID != c.id || resp.Certificate == "" {
		return "", errors.New("renew the certificate from root: its answer is for another cluster, or lacks the certificate")
	}
	return resp.Certificate, nil
}

func (c *Client) join(ctx context.Context, token string, req wire.ClusterJoinRequest, resp *wire.JoinResponse) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return c.do(ctx, http.MethodPost, wire.PathClusterJoin, token, req, resp)
}

// Desired asks for what changed after since, waiting up to wait for it. It returns nil if nothing did.
func (c *Client) Desired(ctx context.Context, since wire.Stamp, wait time.Duration) (*wire.ClusterDesired, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+slack)
	defer cancel()
	q := url.Values{"epoch": {strconv.FormatUint(since.Epoch, 10)}, "since": {strconv.FormatUint(since.Revision, 10)}, "wait": {wait.String()}}
	var d wire.ClusterDesired
	if err := c.do(ctx, http.MethodGet, c.path(wire.PathClusterDesired)+"?"+q.Encode(), "", nil, &d); err != nil {
		return nil, fmt.Errorf("ask root for desired state: %w", err)
	}
	if err := d.Check(); err != nil {
		return nil, fmt.Errorf("read desired state: %w", err)
	}
	if !d.After(since) && !d.Full {
		return nil, nil
	}
	return &d, nil
}

// Report tells root of the cluster and its instances.
func (c *Client) Report(ctx context.Context, r *wire.ClusterReport) (ack wire.ClusterReportAck, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := c.do(ctx, http.MethodPost, c.path(wire.PathClusterReport), "", r, &ack); err != nil {
		return ack, fmt.Errorf("report to root: %w", err)
	}
	return ack, nil
}

// Secret asks for the value of a secret.
func (c *Client) Secret(ctx context.Context, in *wire.SecretRequest) (out wire.SecretResponse, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := c.do(ctx, http.MethodPost, c.path(wire.PathClusterSecrets), "", in, &out); err != nil {
		return out, fmt.Errorf("ask root for a secret: %w", err)
	}
	return out, nil
}

func (c *Client) path(p string) string { return strings.ReplaceAll(p, "{id}", c.id) }

// do asks the present root process. One that cannot be reached, or cannot answer, is not asked again before the others.
func (c *Client) do(ctx context.Context, method, path, bearer string, in, out any) error {
	at := c.at.Load()
	err := c.ask(ctx, c.bases[at%uint64(len(c.bases))], method, path, bearer, in, out)
	refused := (*Refusal)(nil)
	if err != nil && !errors.Is(context.Cause(ctx), context.Canceled) && (!errors.As(err, &refused) || refused.Status >= 500) {
		c.at.CompareAndSwap(at, at+1)
	}
	return err
}

func (c *Client) ask(ctx context.Context, base, method, path, bearer string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return refusal(resp)
	}
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

func refusal(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	var problem struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &problem) == nil && problem.Message != "" {
		text = []byte(problem.Message)
	}
	return &Refusal{Status: resp.StatusCode, Detail: strings.TrimSpace(string(text))}
}
