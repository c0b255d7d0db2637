// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const value = "plugh-xyzzy"

func TestValueIsGotOnceAndOutlivesTheCluster(t *testing.T) {
	var asked atomic.Int32
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var in wire.SecretRequest
		if json.NewDecoder(r.Body).Decode(&in) != nil || r.URL.Path != "/api/v1/workers/w1/secrets" || in.Name != "db" || in.Organization != "acme" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"detail":"not placed here"}`))
			return
		}
		_ = json.NewEncoder(w).Encode(wire.SecretResponse{Format: 1, Value: []byte(value)})
	}))
	dir := t.TempDir()
	open := func(key string) *Source {
		s, err := Open(Options{Cluster: strings.TrimPrefix(srv.URL, "https://"), WorkerID: "w1", TLS: srv.Client().Transport.(*http.Transport).TLSClientConfig,
			StateDir: dir, PrivateKey: []byte(key), Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		return s
	}
	s := open("the worker's key")
	ref := wire.SecretRef{Name: "db", Version: 3}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := s.Value(t.Context(), "acme", ref)
			if err != nil || string(got) != value {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, asked.Load(), int32(8))
	before := asked.Load()
	_, err := s.Value(t.Context(), "acme", ref)
	require.NoError(t, err)
	require.Equal(t, before, asked.Load())
	_, err = s.Value(t.Context(), "acme", wire.SecretRef{Name: "other", Version: 1})
	require.ErrorContains(t, err, "not placed here")
	srv.Close()

	// A restart without the cluster; what lies on disk is sealed, and bound to its name.
	got, err := open("the worker's key").Value(t.Context(), "acme", ref)
	require.NoError(t, err)
	require.Equal(t, value, string(got))
	files, err := filepath.Glob(filepath.Join(dir, "secrets", "*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.NotContains(t, string(text), value)
	info, err := os.Stat(files[0])
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = open("another worker's key").Value(ctx, "acme", ref)
	require.Error(t, err)
	other := s.store.path(Name{"acme", "db", 4})
	require.NoError(t, os.WriteFile(other, text, 0o600))
	_, ok := s.store.get(Name{"acme", "db", 4})
	require.False(t, ok)

	// What nothing refers to goes.
	require.NoError(t, s.store.keepOnly(named([]wire.InstanceSpec{{Organization: "acme", Secrets: []wire.SecretRef{ref}}}), 0))
	_, ok = s.store.get(Name{"acme", "db", 3})
	require.True(t, ok)
	require.NoFileExists(t, other)
	require.NoError(t, s.store.keepOnly(named([]wire.InstanceSpec{{Organization: "acme", RegistryCredentials: &wire.SecretRef{Name: "x", Version: 3}}}), 0))
	_, ok = s.store.get(Name{"acme", "db", 3})
	require.False(t, ok)
}
