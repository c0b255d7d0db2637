// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

// TestPostgresCrash crashes Postgres under writes. Meanwhile the API answers 503 and nothing else; afterwards it goes on by
// itself, and every write that it acknowledged is there.
func TestPostgresCrash(t *testing.T) {
	server, err := pgtest.Start("", pgtest.Options{Fsync: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Close()) }()
	s := startOn(t, server.NewDatabase(t), semantic.DefaultRanges())
	service := s.register(s.admin, "app", map[string]any{})

	var mu sync.Mutex
	acknowledged := map[string]bool{}
	seen := map[int]int{}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				name := fmt.Sprintf("w%dn%d", w, n)
				status, body, err := request(http.DefaultClient, s.admin, http.MethodPost, s.plain+"/api/application/", descriptor(name, map[string]any{}))
				if err != nil {
					t.Errorf("no answer: %v", err)
					return
				}
				mu.Lock()
				seen[status]++
				switch status {
				case 200:
					acknowledged[name] = true
				case 503:
				default:
					t.Errorf("answer %d: %v", status, body)
				}
				mu.Unlock()
				if status == 503 {
					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	require.NoError(t, server.Stop("immediate"))

	resp, err := http.Get(s.plain + "/readyz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 503, resp.StatusCode)
	require.NotEmpty(t, resp.Header.Get("Retry-After"))
	status, _ := s.call("", http.MethodGet, "/healthz", nil)
	require.Equal(t, 200, status, "the process is well")
	status, _ = s.call(s.admin, http.MethodPost, "/api/service/"+service+"/instance", nil)
	require.Equal(t, 503, status)

	mu.Lock()
	before := len(acknowledged)
	mu.Unlock()
	require.NoError(t, server.Resume())
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged) > before+5
	}, 15*time.Second, 20*time.Millisecond, "it goes on by itself")
	stop.Store(true)
	wg.Wait()
	require.Positive(t, before)
	require.Positive(t, seen[503])

	stored := map[string]bool{}
	for _, a := range s.ok(http.MethodGet, "/api/applications", nil).([]any) {
		stored[a.(map[string]any)["application_name"].(string)] = true
	}
	for name := range acknowledged {
		require.True(t, stored[name], "%s was acknowledged and is lost", name)
	}
	s.deploy(service)
}
