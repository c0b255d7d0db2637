// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Bounds of a join. A crowd of workers that starts at once is let in bit by bit, so a refusal for want of room is tried again.
const (
	joinTimeout  = 30 * time.Second
	joinAttempts = 8
	joinBackOff  = 200 * time.Millisecond
	maxAnswer    = 1 << 20
)

// identity is what a worker has once it has joined.
type identity struct {
	id          string
	brokers     []string
	engine, net *tls.Config
}

// join gets an identity from the cluster.
func join(ctx context.Context, cluster, token, name string) (identity, error) {
	var id identity
	parsed, err := pki.ParseToken(token)
	if err != nil {
		return id, fmt.Errorf("join the cluster: %w", err)
	}
	key, csr, err := request()
	if err != nil {
		return id, err
	}
	netKey, netCSR, err := request()
	if err != nil {
		return id, err
	}
	body, err := json.Marshal(wire.WorkerJoinRequest{Format: wire.Format, CSR: csr, NetCSR: netCSR, Name: name})
	if err != nil {
		return id, fmt.Errorf("join the cluster: %w", err)
	}
	client := &http.Client{Timeout: joinTimeout, Transport: &http.Transport{TLSClientConfig: pki.PinnedTLS(parsed.CAHash), DisableKeepAlives: true}}
	answer, err := askInTurn(ctx, client, "https://"+cluster+wire.PathWorkerJoin, token, body)
	if err != nil {
		return id, fmt.Errorf("join the cluster at %s: %w", cluster, err)
	}
	host, _, err := net.SplitHostPort(cluster)
	if err != nil {
		return id, fmt.Errorf("join the cluster at %s: %w", cluster, err)
	}
	for _, b := range answer.Brokers {
		h, port, err := net.SplitHostPort(b)
		if err != nil {
			return id, fmt.Errorf("join the cluster: broker address %q: %w", b, err)
		}
		if h == "" {
			h = host
		}
		id.brokers = append(id.brokers, net.JoinHostPort(h, port))
	}
	id.id = answer.ID
	if id.engine, err = pki.ClientTLS([]byte(answer.Certificate), key, []byte(answer.CA)); err != nil {
		return id, fmt.Errorf("join the cluster: issued certificate: %w", err)
	}
	if id.net, err = pki.ClientTLS([]byte(answer.NetCertificate), netKey, []byte(answer.CA)); err != nil {
		return id, fmt.Errorf("join the cluster: certificate issued for NetManager: %w", err)
	}
	return id, nil
}

func request() (key []byte, csr string, err error) {
	if key, err = pki.NewKey(); err != nil {
		return nil, "", fmt.Errorf("make a key: %w", err)
	}
	text, err := pki.NewCSR(key)
	if err != nil {
		return nil, "", fmt.Errorf("make a certificate request: %w", err)
	}
	return key, string(text), nil
}

// askInTurn asks until there is an answer that another attempt would not change.
func askInTurn(ctx context.Context, client *http.Client, url, token string, body []byte) (*wire.WorkerJoinResponse, error) {
	for n, pause := 1, joinBackOff; ; n, pause = n+1, pause*2 {
		answer, again, err := ask(ctx, client, url, token, body)
		if err == nil || !again || n == joinAttempts || ctx.Err() != nil {
			return answer, err
		}
		if !sleep(ctx, pause/2+rand.N(pause)) {
			return nil, context.Cause(ctx)
		}
	}
}

func ask(ctx context.Context, client *http.Client, url, token string, body []byte) (answer *wire.WorkerJoinResponse, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, true, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, true, err
	}
	if resp.StatusCode/100 != 2 {
		again := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500
		return nil, again, fmt.Errorf("the cluster answers %s: %.300s", resp.Status, data)
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, false, fmt.Errorf("the cluster's answer is not understood: %w", err)
	}
	return answer, false, nil
}

// sleep returns false if ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
