// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/oak/cli"
)

// written is a buffer that may be read while it is written to.
type written struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// A watched list is printed when it has changed, and only then, until interrupted.
func TestWatchPrintsChanges(t *testing.T) {
	var state atomic.Value
	state.Store("CREATING")
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/auth/login":
			_, _ = io.WriteString(w, `{"token":"e30.eyJzdWIiOiJBZG1pbiJ9.s","refresh_token":"r"}`)
		case "/api/services/":
			_, _ = fmt.Fprintf(w, `[{"microserviceID":"s1","job_name":"app.x.web.x","instance_list":[{"instance_number":0,"status":%q}]}]`, state.Load())
			asked.Add(1)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	environment := map[string]string{"OAK_URL": server.URL, "OAK_USERNAME": "Admin", "OAK_PASSWORD": "hush", "OAK_CONFIG": t.TempDir() + "/config.json"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs written
	code := make(chan int, 1)
	go func() {
		code <- cli.Main(ctx, []string{"instance", "list", "-A", "--watch"}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs,
			Getenv: func(key string) string { return environment[key] }})
	}()
	shows := func(what string) {
		require.Eventually(t, func() bool { return strings.Contains(out.String(), what) }, 20*time.Second, 20*time.Millisecond, "%s%s", &out, &errs)
	}
	shows("CREATING")
	state.Store("RUNNING")
	shows("RUNNING")
	before := asked.Load()
	require.Eventually(t, func() bool { return asked.Load() > before+1 }, 20*time.Second, 20*time.Millisecond)
	cancel()
	require.Zero(t, <-code)
	require.Equal(t, 2, strings.Count(out.String(), "INSTANCE"), out.String())
}
