// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// TestRoots has two root orchestrators over one database: one is killed while both are asked for instances, and the other goes on.
func TestRoots(t *testing.T) {
	s := raiseWith(t, 1, ipv4, func(o *testbed.Options) { o.Roots, o.Clusters = 2, 1 })
	application(t, s, "hello.json")
	v := service(t, s, "server")
	apis := []*client.Client{s.API, loginAt(t, s, "root2")}
	epoch := epochOf(t, s)

	const each = 12
	var mu sync.Mutex
	acknowledged := 0
	var wg sync.WaitGroup
	for n, api := range apis {
		wg.Go(func() {
			for range each {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				err := api.AddInstance(ctx, v.ID)
				cancel()
				mu.Lock()
				if err == nil {
					acknowledged++
				} else if n == 0 {
					t.Errorf("the root that is not killed: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	time.Sleep(150 * time.Millisecond)
	fault(t, testbed.Kill, "root-orchestrator@root2")
	wg.Wait()
	t.Logf("%d of %d requests were acknowledged", acknowledged, 2*each)
	begin := time.Now()
	until(t, 2*time.Minute, func(ctx context.Context) error {
		v, err := s.Service(ctx, "server")
		if err != nil {
			return err
		}
		// One that the killed root stored and could not acknowledge any more is there too.
		if n := len(v.Instances); n < acknowledged || n > acknowledged+1 {
			return fmt.Errorf("%d instances, want the %d that were acknowledged", n, acknowledged)
		}
		got, err := s.Containers(ctx, string(v.ID))
		if err != nil {
			return err
		}
		return allRun(v, got, len(v.Instances))
	})
	t.Logf("all run %s after the last request", time.Since(begin).Round(100*time.Millisecond))
	if now := epochOf(t, s); now != epoch {
		t.Errorf("the epoch is %d, was %d: a root that serves on has published everything anew", now, epoch)
	}
	fault(t, testbed.Restart, "root-orchestrator@root2")
	fault(t, testbed.Kill, "root-orchestrator@root")
	second := *s
	second.API = loginAt(t, s, "root2")
	if err := second.API.RemoveInstance(t.Context(), v.ID, -1); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, func(ctx context.Context) error {
		left, err := second.Containers(ctx, string(v.ID))
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%d containers are left", len(left))
		}
		return err
	})
	if now := epochOf(t, s); now != epoch {
		t.Errorf("the epoch is %d, was %d", now, epoch)
	}
}

// loginAt logs in at the root orchestrator of a host.
func loginAt(t *testing.T, s *scene.Scene, host string) *client.Client {
	t.Helper()
	c, err := s.LoginAt(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// epochOf reads root's epoch from its database.
func epochOf(t *testing.T, s *scene.Scene) (epoch int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.Testbed.DatabaseURL("root"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(t.Context(), `SELECT value FROM epoch`).Scan(&epoch); err != nil {
		t.Fatal(err)
	}
	return epoch
}
