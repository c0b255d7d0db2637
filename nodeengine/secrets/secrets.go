// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const (
	requestTimeout = 15 * time.Second
	maxAnswer      = 2 * wire.MaxSecretBytes
	// sweepEvery is how often sealed values are looked through that no instance refers to any more; such as are younger than
	// sweepGrace are left.
	sweepEvery = 10 * time.Minute
	sweepGrace = 10 * time.Minute
)

// Options say whom to ask and where to keep.
type Options struct {
	// Cluster is HOST:PORT, TLS proves who the worker is.
	Cluster  string
	WorkerID string
	TLS      *tls.Config
	// StateDir keeps sealed values. PrivateKey is the worker's, from which their key is derived.
	StateDir   string
	PrivateKey []byte
	Log        *slog.Logger
}

// Source gets values. It is safe for concurrent use.
type Source struct {
	o      Options
	store  *store
	client *http.Client
	asking singleflight.Group
}

// Open returns a source.
func Open(o Options) (*Source, error) {
	s, err := openStore(filepath.Join(o.StateDir, "secrets"), o.PrivateKey)
	if err != nil {
		return nil, err
	}
	return &Source{o: o, store: s, client: &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
		TLSClientConfig: o.TLS, TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 2}}}, nil
}

// Value returns the value of a version of a secret to which an instance refers that is to run here. A version never changes, so that one
// that was got before is not asked for again.
func (s *Source) Value(ctx context.Context, organization string, ref wire.SecretRef) ([]byte, error) {
	n := Name{organization, ref.Name, ref.Version}
	if value, ok := s.store.get(n); ok {
		return value, nil
	}
	ch := s.asking.DoChan(n.context(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		value, err := s.ask(ctx, n)
		if err != nil {
			return nil, err
		}
		if err := s.store.put(n, value); err != nil { // it serves now, if not after a restart without the cluster
			s.o.Log.Warn("secret cannot be kept for a restart without the cluster", "secret", n.Secret, "version", n.Version, "error", err)
		}
		return value, nil
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("get secret %s: %w", n, ctx.Err())
	case got := <-ch:
		if got.Err != nil {
			return nil, fmt.Errorf("get secret %s: %w", n, got.Err)
		}
		value, _ := got.Val.([]byte) // nothing else is put in
		return value, nil
	}
}

func (s *Source) ask(ctx context.Context, n Name) ([]byte, error) {
	body, err := json.Marshal(wire.SecretRequest{Format: wire.Format, Organization: n.Organization, Name: n.Secret, Version: n.Version})
	if err != nil {
		return nil, err
	}
	url := "https://" + s.o.Cluster + strings.Replace(wire.PathWorkerSecrets, "{id}", s.o.WorkerID, 1)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the cluster: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("ask the cluster: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var problem struct {
			Detail string `json:"detail"`
		}
		if json.Unmarshal(data, &problem) != nil || problem.Detail == "" {
			problem.Detail = resp.Status
		}
		return nil, errors.New("the cluster refuses: " + problem.Detail)
	}
	var answer wire.SecretResponse
	if err := json.Unmarshal(data, &answer); err != nil || len(answer.Value) == 0 {
		return nil, errors.New("the cluster's answer holds no value") // what it holds is not told
	}
	return answer.Value, nil
}

// Sweep forgets, again and again until ctx ends, what no instance refers to. specs returns the specifications of all instances that are
// here or wanted.
func (s *Source) Sweep(ctx context.Context, specs func() []wire.InstanceSpec) {
	for {
		timer := time.NewTimer(sweepEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if err := s.store.keepOnly(named(specs()), sweepGrace); err != nil {
			s.o.Log.Warn("sealed secrets cannot be looked through", "error", err)
		}
	}
}

// named returns the versions to which specifications refer.
func named(specs []wire.InstanceSpec) map[Name]struct{} {
	out := map[Name]struct{}{}
	for _, spec := range specs {
		for _, ref := range spec.Secrets {
			out[Name{spec.Organization, ref.Name, ref.Version}] = struct{}{}
		}
		if ref := spec.RegistryCredentials; ref != nil {
			out[Name{spec.Organization, ref.Name, ref.Version}] = struct{}{}
		}
	}
	return out
}
