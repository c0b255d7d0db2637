// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// clusterGrace is root's grace time for clusters in the tests that lose one.
const clusterGrace = 10 * time.Second

// TestLostCluster cuts a cluster orchestrator off from root: within the grace time nothing moves; after it the cluster's instance is placed in
// the other, while its copy runs on until the cluster is back. No call fails meanwhile: the service says when it is ready.
func TestLostCluster(t *testing.T) {
	s := raiseWith(t, 1, ipv4, func(o *testbed.Options) { o.Clusters, o.ClusterLostAfter = 2, clusterGrace })
	application(t, s, "apart.json")
	deploy(t, s, "client", 1)
	deploy(t, s, "both", 2)
	both := service(t, s, "both")
	reaches(t, s, both, 2)
	before := tasks(t, s)

	if err := s.Testbed.AddCut(t.Context(), "c2", "root"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(clusterGrace / 2)
	if err := s.Testbed.Heal(t.Context(), "c2", "root"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(clusterGrace)
	sameTasks(t, s, before) // although both together are longer than the grace time

	c, err := s.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	calls := make(chan hello.GetReport, 1)
	go func() {
		var r hello.GetReport
		if err := s.Call(t.Context(), c, &r, "rate", "http://"+both.RoundRobin+"/", "-per-second", "50", "-seconds", "30"); err != nil {
			t.Error(err)
		}
		calls <- r
	}()
	cut := time.Now()
	if err := s.Testbed.AddCut(t.Context(), "c2", "root"); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, func(context.Context) error {
		if w := workersOf(t, s, both); !slices.Equal(w, []string{"c1-w1", "c1-w1", "c2-w1"}) {
			return fmt.Errorf("the service runs on %v, want a replacement in the first cluster beside the copy in the second", w)
		}
		return nil
	})
	if took := time.Since(cut); took < clusterGrace {
		t.Errorf("replaced %s after the cut, before the grace time was over", took)
	}
	t.Logf("replaced %s after the cut, with a grace time of %s", time.Since(cut).Round(100*time.Millisecond), clusterGrace)
	until(t, 10*time.Second, func(ctx context.Context) error {
		v, err := s.Service(ctx, "both")
		if err != nil {
			return err
		}
		for _, i := range v.Instances {
			if i.ClusterName != "c1" || i.Status != "RUNNING" {
				return fmt.Errorf("instance %d is %s in cluster %s", i.Number, i.Status, i.ClusterName)
			}
		}
		return nil
	})
	reaches(t, s, both, 2)

	healed := time.Now()
	if err := s.Testbed.Heal(t.Context(), "c2", "root"); err != nil {
		t.Fatal(err)
	}
	until(t, 30*time.Second, func(context.Context) error {
		if w := workersOf(t, s, both); !slices.Equal(w, []string{"c1-w1", "c1-w1"}) {
			return fmt.Errorf("the service runs on %v, want the first cluster's worker alone", w)
		}
		return nil
	})
	t.Logf("the older copy stopped %s after the heal", time.Since(healed).Round(100*time.Millisecond))
	if r := <-calls; r.Failed != 0 {
		t.Errorf("%d of %d calls failed: %v", r.Failed, r.Requests, r.Errors)
	}
}
