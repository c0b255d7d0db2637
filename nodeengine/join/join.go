// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Bounds of an attempt to join and of the pauses between attempts.
const (
	requestTimeout = 15 * time.Second
	firstBackOff   = 200 * time.Millisecond
	lastBackOff    = 10 * time.Second
	maxAnswer      = 1 << 20
)

// Options say whom to ask.
type Options struct {
	// Host and Port are the cluster's.
	Host string
	Port int
	// MQTTPort, if not 0, takes the place of the port of brokers that are at the cluster's own host: where a router forwards another one.
	MQTTPort uint16
	// TokenFile holds the join token.
	TokenFile string
	// StateDir keeps keys and identity.
	StateDir string
	// Name is what people call the worker.
	Name string
	Log  *slog.Logger

	// worker, if set, is the only identity that is accepted.
	worker string
}

// refusal is an answer that asking again does not change.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// Join gets an identity from the cluster and stores it. It asks again for as long as the cluster is away or busy, until ctx
// ends; a refusal is an error at once.
func Join(ctx context.Context, o Options) (*Identity, error) {
	text, err := os.ReadFile(o.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("join the cluster: %w: type here what `cluster-orchestrator token create` prints on the cluster's machine, or name the token's file with --join-token-file", err)
	}
	token, err := pki.ParseToken(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("join the cluster: token in %s: %w", o.TokenFile, err)
	}
	k, err := loadKeys(o.StateDir)
	if err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	req, err := o.request(k)
	if err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	client := &http.Client{Timeout: requestTimeout, Transport: &http.Transport{TLSClientConfig: pki.PinnedTLS(token.CAHash), DisableKeepAlives: true}}
	address := net.JoinHostPort(o.Host, strconv.Itoa(o.Port))
	for wait := firstBackOff; ; wait = min(wait*2, lastBackOff) {
		resp, err := ask(ctx, client, "https://"+address+wire.PathWorkerJoin, token.String(), req)
		if err == nil {
			return o.accept(k, address, resp)
		}
		var no *refusal
		if errors.As(err, &no) {
			return nil, fmt.Errorf("join the cluster at %s: %w", address, err)
		}
		pause := wait - rand.N(wait/4)
		o.Log.Warn("cluster cannot be joined yet", "cluster", address, "error", err, "retry_in", pause)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("join the cluster at %s: %w", address, err)
		case <-time.After(pause):
		}
	}
}

func (o *Options) request(k keys) ([]byte, error) {
	csr, err := pki.NewCSR([]byte(k.Key))
	if err != nil {
		return nil, err
	}
	netCSR, err := pki.NewCSR([]byte(k.NetKey))
	if err != nil {
		return nil, err
	}
	routes, err := Routes()
	if err != nil {
		return nil, err
	}
	return json.Marshal(wire.WorkerJoinRequest{Format: wire.Format, CSR: string(csr), NetCSR: string(netCSR), Name: o.Name, Routes: routes})
}

// ask makes one attempt. The error is a [refusal] if another attempt would end the same.
func ask(ctx context.Context, client *http.Client, url, token string, body []byte) (*wire.WorkerJoinResponse, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, &refusal{err}
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusCreated:
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= 500:
		return nil, fmt.Errorf("the cluster answers %s: %s", resp.Status, problem(data))
	default:
		return nil, &refusal{fmt.Errorf("the cluster refuses (%s): %s", resp.Status, problem(data))}
	}
	var r wire.WorkerJoinResponse
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, &refusal{fmt.Errorf("the cluster's answer is not understood: %w", err)}
	}
	return &r, nil
}

// problem returns what an error body says.
func problem(data []byte) string {
	var p struct {
		Detail  string `json:"detail"`
		Title   string `json:"title"`
		Message string `json:"message"`
	}
	if json.Unmarshal(data, &p) == nil {
		for _, s := range []string{p.Detail, p.Message, p.Title} {
			if s != "" {
				return s
			}
		}
	}
	return strings.ToValidUTF8(string(data[:min(len(data), 200)]), "?")
}

// accept checks and stores what the cluster has issued.
func (o *Options) accept(k keys, address string, r *wire.WorkerJoinResponse) (*Identity, error) {
	if r.Format > wire.Format {
		return nil, fmt.Errorf("join the cluster: %w: got %d, read up to %d: upgrade NodeEngine", wire.ErrNewerFormat, r.Format, wire.Format)
	}
	if !pki.ValidID(r.ID) {
		return nil, fmt.Errorf("join the cluster: it issued %q, which is no identity", r.ID)
	}
	if o.worker != "" && r.ID != o.worker {
		return nil, fmt.Errorf("join the cluster: it takes this worker, %s, for another one, %s: to become that, stop all instances and empty %s", o.worker, r.ID, o.StateDir)
	}
	brokers, err := fillHosts(r.Brokers, o.Host, o.MQTTPort)
	if err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	id := &Identity{Format: wire.Format, WorkerID: r.ID, Cluster: address, CA: r.CA, Certificate: r.Certificate, Key: k.Key,
		NetCertificate: r.NetCertificate, NetKey: k.NetKey, Brokers: brokers}
	if _, err := id.TLS(); err != nil {
		return nil, fmt.Errorf("join the cluster: issued certificate: %w", err)
	}
	if _, err := pki.ClientTLS([]byte(id.NetCertificate), []byte(id.NetKey), []byte(id.CA)); err != nil {
		return nil, fmt.Errorf("join the cluster: certificate issued for NetManager: %w", err)
	}
	if err := statefile.Write(identityPath(o.StateDir), id); err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	o.Log.Info("joined", "cluster", address, "worker", id.WorkerID, "brokers", id.Brokers)
	return id, nil
}
