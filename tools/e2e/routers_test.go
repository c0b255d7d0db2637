// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// TestClustersBehindRouters has containers of two clusters call one another whose workers are behind different NATs, with the same addresses at
// home. Neither can be reached unless it has sent first, and where it is seen is known to its own cluster alone, until root tells.
func TestClustersBehindRouters(t *testing.T) {
	s := raiseWith(t, 1, ipv4, func(o *testbed.Options) { o.Clusters, o.NAT = 2, true })
	application(t, s, "apart.json")
	deploy(t, s, "client", 1)
	deploy(t, s, "far", 1)
	deploy(t, s, "both", 2)
	far, both := service(t, s, "far"), service(t, s, "both")
	if w := workersOf(t, s, both); !slices.Equal(w, []string{"c1-w1", "c2-w1"}) {
		t.Fatalf("the service runs on %v, want both clusters", w)
	}
	from, err := s.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	until(t, 20*time.Second, func(ctx context.Context) error { return answers(ctx, s, far.RoundRobin) })
	t.Logf("the first call through both routers is answered after %s", time.Since(begin).Round(time.Millisecond))
	until(t, 20*time.Second, func(ctx context.Context) error { return reached(ctx, s, from, both) })
	before := tasks(t, s)
	goesOn := func(when string) {
		t.Helper()
		until(t, 20*time.Second, func(ctx context.Context) error { return reached(ctx, s, from, both) })
		t.Logf("%s: all answer", when)
	}
	// Clusters keep what they know of one another within a second or so.
	kept(t, s, "c1", both.ID, "198.18.2.3:50103")
	kept(t, s, "c2", both.ID, "198.18.1.3:50103")
	fault(t, testbed.Kill, "root-orchestrator@root", "cluster-orchestrator@c1", "cluster-orchestrator@c2")
	goesOn("without all that is above the workers")
	fault(t, testbed.Restart, "cluster-orchestrator@c1", "cluster-orchestrator@c2", "NetManager@c1-w1")
	goesOn("with clusters and a NetManager that have started without root")
	fault(t, testbed.Restart, "root-orchestrator@root")
	goesOn("with root back")

	// The other side's router forgets, and shows its worker at another port: only its cluster sees that.
	if err := underlay.In("c2-nat", func() error { return underlay.Translate("udp sport 50103 masquerade to :40000") }); err != nil {
		t.Fatal(err)
	}
	begin = time.Now()
	until(t, 45*time.Second, func(ctx context.Context) error { return reached(ctx, s, from, both) })
	t.Logf("with another port calls are answered by all after %s", time.Since(begin).Round(time.Millisecond))
	sameTasks(t, s, before)
}

// kept waits until a cluster's database holds which of another cluster's workers, seen at outer, runs an instance of
// a service or calls it.
func kept(t *testing.T, s *scene.Scene, cluster string, service client.ID, outer string) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), s.Testbed.DatabaseURL(cluster))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.Background()) }()
	until(t, 10*time.Second, func(ctx context.Context) error {
		var m wire.ClusterAbroad
		if err := db.QueryRow(ctx, `SELECT state FROM abroad`).Scan(&m); err != nil {
			return err
		}
		for _, v := range m.Services {
			if v.ServiceID != string(service) {
				continue
			}
			named := slices.Clone(v.Callers)
			for _, x := range v.Instances {
				named = append(named, x.Peer)
			}
			for _, w := range m.Workers {
				if slices.Contains(named, w.WorkerID) && slices.Contains(w.Outer, netip.MustParseAddrPort(outer)) {
					return nil
				}
			}
		}
		return fmt.Errorf("%s keeps nothing of %s: %+v", cluster, outer, m)
	})
}

// reached checks that all instances of a service answer the client, and no call fails.
func reached(ctx context.Context, s *scene.Scene, from scene.Container, v *client.Service) error {
	var r hello.GetReport
	if err := s.Call(ctx, from, &r, "get", scene.URL(v.RoundRobin), "-n", "20", "-timeout", "1s"); err != nil {
		return err
	}
	if r.Failed > 0 || len(r.Instances) != len(v.Instances) {
		return fmt.Errorf("%d of %d calls failed (%v), answers by instance %v", r.Failed, r.Requests, r.Errors, r.Instances)
	}
	return nil
}
