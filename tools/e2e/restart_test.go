// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// outage is how long what was killed stays away.
const outage = 5 * time.Second

// loadSeconds is how long the load runs: the outage, the lead before it, and time to see what a restart does.
const loadSeconds = 9

// TestRestarts kills one part after the other under load, on four workers. With OAK_RESTARTS=all also those that are farthest from the
// workers, root and Postgres.
func TestRestarts(t *testing.T) {
	s := raise(t, 4)
	application(t, s, "hello.json")
	deploy(t, s, "client", 1)
	deploy(t, s, "server", 4)
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	settle(t, s, v.RoundRobin, len(v.Instances))
	quiet := under(t, s, loadSeconds, nil)
	if t.Failed() {
		t.Fatal("the load fails although nothing has been broken")
	}
	each := [][]string{onWorkers(s, "NetManager"), onWorkers(s, "NodeEngine"), {"cluster-orchestrator@c1"}}
	all := os.Getenv("OAK_RESTARTS") == "all"
	if all {
		each = append(each, []string{"root-orchestrator@root"})
	}
	for _, parts := range each {
		name, _, _ := strings.Cut(parts[0], "@")
		t.Run(name, func(t *testing.T) {
			before := tasks(t, s)
			broken := under(t, s, loadSeconds, func() {
				fault(t, testbed.Kill, parts...)
				back := time.After(outage)
				if name == "NetManager" {
					deadNetManager(t, s)
				}
				<-back
				fault(t, testbed.Restart, parts...)
			})
			nearly(t, quiet, broken)
			sameTasks(t, s, before)
			oneMore(t, s)
		})
	}
	if all {
		t.Run("Postgres", func(t *testing.T) { postgres(t, s, quiet) })
	}
	t.Run("WorkersAlone", func(t *testing.T) { alone(t, s) })
}

// onWorkers returns the name of a component on every worker.
func onWorkers(s *scene.Scene, component string) []string {
	var all []string
	for _, w := range s.Testbed.Hosts(testbed.RoleWorker) {
		all = append(all, component+"@"+w.Name)
	}
	return all
}

// oneMore shows that the whole chain works again: an instance more runs and answers, then it goes.
func oneMore(t *testing.T, s *scene.Scene) {
	t.Helper()
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	n := len(v.Instances)
	if err := s.API.AddInstance(t.Context(), v.ID); err != nil {
		t.Fatal(err)
	}
	awaitRunning(t, s, "server", n+1)
	if v, err = s.Service(t.Context(), "server"); err != nil {
		t.Fatal(err)
	}
	added := v.Instances[len(v.Instances)-1]
	until(t, 5*time.Second, func(ctx context.Context) error { return answers(ctx, s, added.InstanceIP) })
	if err := s.API.RemoveInstance(t.Context(), v.ID, added.Number); err != nil {
		t.Fatal(err)
	}
	awaitRunning(t, s, "server", n)
}

// answers has the client call an address once.
func answers(ctx context.Context, s *scene.Scene, address string) error {
	c, err := s.Client(ctx)
	if err != nil {
		return err
	}
	var r hello.GetReport
	if err := s.Call(ctx, c, &r, "get", "http://"+address+"/", "-timeout", "2s"); err != nil {
		return err
	}
	if r.Failed > 0 {
		return fmt.Errorf("%s does not answer: %v", address, r.Errors)
	}
	return nil
}

// alone: workers whose programs start with cluster and root away keep their workloads, which answer one another.
func alone(t *testing.T, s *scene.Scene) {
	before := tasks(t, s)
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	above := []string{"cluster-orchestrator@c1", "root-orchestrator@root"}
	fault(t, testbed.Kill, above...)
	programs := append(onWorkers(s, "NodeEngine"), onWorkers(s, "NetManager")...)
	fault(t, testbed.Kill, programs...)
	fault(t, testbed.Restart, programs...)
	client := clientOf(t, s, before)
	var r hello.GetReport
	if err := s.Call(t.Context(), client, &r, "get", "http://"+v.RoundRobin+"/", "-n", "100"); err != nil {
		t.Fatal(err)
	}
	if r.Failed != 0 || len(r.Instances) != len(v.Instances) {
		t.Errorf("%d of 100 failed (%v); answers by instance %v, want %d", r.Failed, r.Errors, r.Instances, len(v.Instances))
	}
	sameTasks(t, s, before)
	fault(t, testbed.Restart, "root-orchestrator@root", "cluster-orchestrator@c1")
	sameTasks(t, s, before)
	until(t, 30*time.Second, func(ctx context.Context) error {
		v, err := s.Service(ctx, "server")
		if err != nil {
			return err
		}
		c, err := s.Containers(ctx, string(v.ID))
		if err != nil {
			return err
		}
		return allRun(v, c, len(v.Instances))
	})
	oneMore(t, s)
}
