// SPDX-License-Identifier: Apache-2.0

package netmanager

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// serve answers on a socket in the test's folder until the returned function is called.
func serve(t *testing.T, socket string, h http.HandlerFunc) (stop func()) {
	t.Helper()
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(ln) }()
	stop = sync.OnceFunc(func() { _ = srv.Close() })
	t.Cleanup(stop)
	return stop
}

func TestClient(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	c := New(socket)
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("nobody there: %v", err)
	}
	var asked []string
	code, body := 200, `{"namespace_ip":"10.18.0.2"}`
	serve(t, socket, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.RequestURI())
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	})
	key, gen := wire.InstanceKey{ServiceID: "abc", Number: 4}, wire.Generation{Placement: 2, Move: 3}
	if e, err := c.Attach(t.Context(), wire.LocalAttach{InstanceKey: key}); err != nil || e.NamespaceIP.String() != "10.18.0.2" {
		t.Errorf("%+v %v", e, err)
	}
	code, body = 204, ""
	if err := c.Detach(t.Context(), key, gen); err != nil {
		t.Error(err)
	}
	code = 404
	if err := c.Detach(t.Context(), key, gen); err != nil {
		t.Errorf("nothing to detach: %v", err)
	}
	code, body = 409, `{"error":"stale generation"}`
	var refused *StatusError
	if _, err := c.Attach(t.Context(), wire.LocalAttach{}); !errors.As(err, &refused) || refused.Message != "stale generation" || refused.Elsewhere() {
		t.Errorf("refused: %v", err)
	}
	body = `{"error":"port is taken","elsewhere":true}`
	if _, err := c.Attach(t.Context(), wire.LocalAttach{}); !errors.As(err, &refused) || !refused.Elsewhere() {
		t.Errorf("refused: %v", err)
	}
	code, body = 200, `{`
	if _, err := c.Endpoints(t.Context()); err == nil {
		t.Error("a broken answer was taken")
	}
	if want := "DELETE /v1/endpoints/abc/4?generation=2.3"; asked[1] != want {
		t.Errorf("asked %q, want %q", asked[1], want)
	}
}

func TestWatchHandsIdentityOverAndSeesItComeAndGo(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	var mu sync.Mutex
	var have wire.LocalIdentity
	puts := 0
	handler := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPut {
			puts++
			_ = json.NewDecoder(r.Body).Decode(&have)
			w.WriteHeader(204)
			return
		}
		_ = json.NewEncoder(w).Encode(wire.LocalStatus{WorkerID: have.WorkerID, Ready: have.WorkerID != "", UsedPorts: wire.HostPorts{TCP: []uint16{22}}})
	}
	changes := make(chan bool, 8)
	next := func(want bool) {
		t.Helper()
		select {
		case got := <-changes:
			if got != want {
				t.Fatalf("became ready: %v, want %v", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("did not become ready: %v", want)
		}
	}
	w := NewWatch(New(socket), wire.LocalIdentity{WorkerID: "w"}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx, func(ready bool) { changes <- ready }) }()
	defer func() { cancel(); <-done }()
	time.Sleep(50 * time.Millisecond)
	if ready, reason := w.Ready(); ready || reason == "" {
		t.Errorf("ready before it is there, %q", reason)
	}
	stop := serve(t, socket, handler)
	next(true)
	if used := w.UsedPorts(); !used.Has(wire.Port{Host: 22, Protocol: wire.ProtocolTCP}) {
		t.Errorf("used ports: %v", used)
	}
	stop()
	next(false)
	mu.Lock()
	have = wire.LocalIdentity{} // it lost its state folder
	mu.Unlock()
	serve(t, socket, handler)
	next(true)
	if puts != 2 {
		t.Errorf("identity was handed over %d times", puts)
	}
}
