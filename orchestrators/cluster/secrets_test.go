// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/httpapi"
)

func (r *scriptedRoot) secret(c echo.Context) error {
	if err := r.known(c); err != nil {
		return err
	}
	var in wire.SecretRequest
	if err := httpapi.DecodeLoose(c, &in); err != nil {
		return err
	}
	r.mu.Lock()
	value, ok := r.secrets[in.Name]
	r.mu.Unlock()
	if !ok {
		return httpapi.NewProblem(http.StatusForbidden, "secret_refused", "none of yours")
	}
	return c.JSON(http.StatusOK, wire.SecretResponse{Value: []byte(value)})
}

// fetch asks the cluster for version 1 of a secret, in the name of a worker, over the worker's own connection.
func (w *scriptedWorker) fetch(base, as, name string, version int) (int, string) {
	w.t.Helper()
	client := &http.Client{Timeout: soon, Transport: &http.Transport{TLSClientConfig: w.tls}}
	defer client.CloseIdleConnections()
	return fetchSecret(w.t, client, base, as, name, version)
}

func fetchSecret(t *testing.T, client *http.Client, base, as, name string, version int) (int, string) {
	t.Helper()
	body, err := json.Marshal(wire.SecretRequest{Format: wire.Format, Organization: "acme", Name: name, Version: version})
	require.NoError(t, err)
	resp, err := client.Post(base+strings.Replace(wire.PathWorkerSecrets, "{id}", as, 1), "application/json", bytes.NewReader(body))
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var answer wire.SecretResponse
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	return resp.StatusCode, string(answer.Value)
}

func TestSecretGoesOnlyToTheWorkerThatRunsIt(t *testing.T) {
	b := newBed(t)
	b.ready()
	w := b.worker("one")
	https := "https://" + b.api
	b.root.change(func() {
		s := spec(0)
		s.Organization = "acme"
		s.Secrets = []wire.SecretRef{{Name: "db", Version: 1, Env: "DB"}}
		s.RegistryCredentials = &wire.SecretRef{Name: "hub", Version: 2}
		b.root.secrets = map[string]string{"db": "the value", "hub": "the login", "other": "not yours"}
		b.root.instances[key(0)] = wire.ClusterInstance{InstanceKey: key(0), Placement: 1, Spec: s}
	})
	eventually(t, "it runs", b.root.sees([]int{0}, wire.StateRunning))
	status, value := w.fetch(https, w.id, "db", 1)
	require.Equal(t, 200, status)
	require.Equal(t, "the value", value)
	status, value = w.fetch(https, w.id, "hub", 2)
	require.Equal(t, 200, status)
	require.Equal(t, "the login", value)

	two := b.worker("two")
	for what, refused := range map[string]func() (int, string){
		"another worker":          func() (int, string) { return two.fetch(https, two.id, "db", 1) },
		"in another's name":       func() (int, string) { return two.fetch(https, w.id, "db", 1) },
		"another version":         func() (int, string) { return w.fetch(https, w.id, "db", 2) },
		"what it does not run":    func() (int, string) { return w.fetch(https, w.id, "other", 1) },
		"credentials, as version": func() (int, string) { return w.fetch(https, w.id, "hub", 1) },
	} {
		status, value := refused()
		require.Equal(t, 403, status, what)
		require.Empty(t, value, what)
	}
	noCert := &http.Client{Timeout: soon, Transport: &http.Transport{TLSClientConfig: w.tls.Clone()}}
	noCert.Transport.(*http.Transport).TLSClientConfig.Certificates = nil
	status, _ = fetchSecret(t, noCert, https, w.id, "db", 1)
	require.Equal(t, 401, status)
	status, _ = fetchSecret(t, http.DefaultClient, "http://"+b.api, w.id, "db", 1)
	require.Equal(t, 401, status, "plain, even from this machine: there is no certificate")

	// With root away, what it has told before is still told; what it refuses is not any more.
	b.root.mu.Lock()
	b.root.away = true
	b.root.mu.Unlock()
	status, value = w.fetch(https, w.id, "db", 1)
	require.Equal(t, 200, status)
	require.Equal(t, "the value", value)
	b.root.mu.Lock()
	b.root.away = false
	delete(b.root.secrets, "db")
	b.root.mu.Unlock()
	status, _ = w.fetch(https, w.id, "db", 1)
	require.Equal(t, 403, status)
	b.root.mu.Lock()
	b.root.away = true
	b.root.mu.Unlock()
	status, _ = w.fetch(https, w.id, "db", 1)
	require.Equal(t, 503, status)
	b.root.mu.Lock()
	b.root.away = false
	b.root.mu.Unlock()

	// Once it is to stop, no more.
	b.root.remove(0)
	require.Eventually(t, func() bool { status, _ := w.fetch(https, w.id, "hub", 2); return status == 403 }, soon, 10*time.Millisecond)
}
