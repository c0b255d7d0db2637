// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// TestClusters has containers of two clusters call one another while what is above them comes and goes.
func TestClusters(t *testing.T) {
	s := raiseWith(t, 1, ipv4, func(o *testbed.Options) { o.Clusters = 2 })
	application(t, s, "apart.json")
	deploy(t, s, "client", 1)
	deploy(t, s, "far", 1)
	deploy(t, s, "both", 2)
	far, both := service(t, s, "far"), service(t, s, "both")
	if w := workersOf(t, s, both); !slices.Equal(w, []string{"c1-w1", "c2-w1"}) {
		t.Fatalf("the service runs on %v, want both clusters", w)
	}
	begin := time.Now()
	until(t, 10*time.Second, func(ctx context.Context) error { return answers(ctx, s, far.RoundRobin) })
	t.Logf("the first call into the other cluster is answered after %s", time.Since(begin).Round(time.Millisecond))
	reaches(t, s, both, 2)
	t.Run("Names", func(t *testing.T) { namesAcross(t, s, far, both) })
	t.Run("RouteChange", func(t *testing.T) { routeChange(t, s, both) })
	t.Run("RootAway", func(t *testing.T) { rootAway(t, s, both) })
	t.Run("ClusterAway", func(t *testing.T) { clusterAway(t, s, both) })
}

func service(t *testing.T, s *scene.Scene, name string) *client.Service {
	t.Helper()
	v, err := s.Service(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// workersOf returns the workers that run a service, in order.
func workersOf(t *testing.T, s *scene.Scene, v *client.Service) (on []string) {
	t.Helper()
	all, err := s.Containers(t.Context(), string(v.ID))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		on = append(on, c.Worker)
	}
	slices.Sort(on)
	return on
}

// reaches waits until the client's calls to a service are answered by so many instances.
func reaches(t *testing.T, s *scene.Scene, v *client.Service, n int) {
	t.Helper()
	c, err := s.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(t.Context(), c, v.RoundRobin, n); err != nil {
		t.Fatal(err)
	}
}

// namesAcross: what lives in the other cluster has its names here, and those of each instance wherever it is.
func namesAcross(t *testing.T, s *scene.Scene, far, both *client.Service) {
	if r := lookUp(t, s, "far.demo.apart.demo.oak", "A"); !slices.Equal(r.Answers, []string{far.RoundRobin}) {
		t.Errorf("the service in the other cluster: %+v, want %s", r, far.RoundRobin)
	}
	for _, v := range []*client.Service{far, both} {
		for _, i := range v.Instances {
			name := fmt.Sprintf("%d.%s.demo.apart.demo.oak", i.Number, v.Name)
			if r := lookUp(t, s, name, "A"); !slices.Equal(r.Answers, []string{i.InstanceIP}) {
				t.Errorf("%s: %+v, want %s", name, r, i.InstanceIP)
			}
		}
	}
	for _, name := range []string{"nobody.demo.apart.demo.oak", "9.far.demo.apart.demo.oak"} {
		if r := lookUp(t, s, name, "A"); r.Rcode != "NXDOMAIN" {
			t.Errorf("%s, which nobody has: %+v", name, r)
		}
	}
}

// routeChange: an instance that comes in the other cluster answers soon, and one that goes takes no call with it.
func routeChange(t *testing.T, s *scene.Scene, v *client.Service) {
	if err := s.API.AddInstance(t.Context(), v.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.API.AddInstance(t.Context(), v.ID); err != nil {
		t.Fatal(err)
	}
	awaitRunning(t, s, "both", len(v.Instances)+2)
	begin := time.Now()
	reaches(t, s, v, len(v.Instances)+2)
	t.Logf("calls reach both new instances %s after root has said that they run", time.Since(begin).Round(time.Millisecond))
	more := service(t, s, "both")
	for _, i := range more.Instances[len(v.Instances):] {
		if err := s.API.RemoveInstance(t.Context(), v.ID, i.Number); err != nil {
			t.Fatal(err)
		}
	}
	awaitRunning(t, s, "both", len(v.Instances))
	reaches(t, s, v, len(v.Instances))
}

// rootAway: without root, and with cluster orchestrators that start without it, known pairs go on.
func rootAway(t *testing.T, s *scene.Scene, v *client.Service) {
	before := tasks(t, s)
	c, err := s.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	calls := func(when string) {
		t.Helper()
		var r hello.GetReport
		if err := s.Call(t.Context(), c, &r, "get", "http://"+v.RoundRobin+"/", "-n", "40"); err != nil {
			t.Fatal(err)
		}
		if r.Failed != 0 || len(r.Instances) != len(v.Instances) {
			t.Errorf("%s: %d of 40 calls failed (%v), answers by instance %v, want %d", when, r.Failed, r.Errors, r.Instances, len(v.Instances))
		}
	}
	fault(t, testbed.Kill, "root-orchestrator@root")
	calls("without root")
	fault(t, testbed.Kill, "cluster-orchestrator@c1", "cluster-orchestrator@c2")
	calls("without all that is above the workers")
	fault(t, testbed.Restart, "cluster-orchestrator@c1", "cluster-orchestrator@c2")
	fault(t, testbed.Kill, "NetManager@c1-w1")
	fault(t, testbed.Restart, "NetManager@c1-w1")
	calls("with clusters that have started without root")
	fault(t, testbed.Restart, "root-orchestrator@root")
	calls("with root back")
	sameTasks(t, s, before)
	time.Sleep(2 * time.Second) // root asks everybody for everything meanwhile
	calls("with root back and told everything")
}

// clusterAway: without the other cluster's orchestrator its instances answer on, and those that it starts when it is back do too.
func clusterAway(t *testing.T, s *scene.Scene, v *client.Service) {
	fault(t, testbed.Kill, "cluster-orchestrator@c2")
	reaches(t, s, v, len(v.Instances))
	fault(t, testbed.Restart, "cluster-orchestrator@c2")
	reaches(t, s, v, len(v.Instances))
	routeChange(t, s, v)
}
