// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/images/hello"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// TestProbes freezes workloads, which then answer nobody, and ends others, and looks at what follows.
func TestProbes(t *testing.T) {
	s := raise(t, 2)
	application(t, s, "probes.json")
	deploy(t, s, "client", 1)
	t.Run("Readiness", func(t *testing.T) { readiness(t, s) })
	t.Run("Liveness", func(t *testing.T) { liveness(t, s) })
	t.Run("Never", func(t *testing.T) { neverAgain(t, s) })
	t.Run("Elsewhere", func(t *testing.T) { triedElsewhere(t, s) })
}

// instanceIs waits until root shows an instance as it is to be.
func instanceIs(t *testing.T, s *scene.Scene, name string, number int, what string, ok func(*client.Instance) bool) (found client.Instance) {
	t.Helper()
	until(t, 60*time.Second, func(ctx context.Context) error {
		v, err := s.Service(ctx, name)
		if err != nil {
			return err
		}
		for i := range v.Instances {
			if found = v.Instances[i]; found.Number == number && ok(&found) {
				return nil
			}
		}
		return fmt.Errorf("instance %d of %s is not %s: %+v", number, name, what, v.Instances)
	})
	return found
}

func isReady(is bool) func(*client.Instance) bool {
	return func(i *client.Instance) bool {
		return i.Status == wire.StateRunning && i.Ready != nil && *i.Ready == is
	}
}

// freeze stops all threads of an instance's process and has them go on at the end of the test, or when called.
func freeze(t *testing.T, s *scene.Scene, c scene.Container) (thaw func()) {
	t.Helper()
	pid := tasks(t, s)[c.ID]
	if pid == 0 {
		t.Fatalf("%s does not run", c.ID)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	thaw = func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	t.Cleanup(thaw)
	return thaw
}

// readiness: an instance that does not answer gets no new flows, is not restarted, and gets them again when it does.
func readiness(t *testing.T, s *scene.Scene) {
	servers := deploy(t, s, "server", 2)
	for n := range servers {
		instanceIs(t, s, "server", n, "ready", isReady(true))
	}
	v, err := s.Service(t.Context(), "server")
	if err != nil {
		t.Fatal(err)
	}
	settle(t, s, v.RoundRobin, len(servers))
	before := tasks(t, s)
	thaw := freeze(t, s, servers[0])
	i := instanceIs(t, s, "server", servers[0].Number, "not ready", isReady(false))
	if !strings.Contains(i.StatusDetail, "HTTP GET of / on port 80") {
		t.Errorf("root tells %q", i.StatusDetail)
	}
	var r hello.GetReport
	call(t.Context(), t, s, &r, "get", scene.URL(v.RoundRobin), "-n", "100", "-timeout", "2s")
	if r.Failed != 0 || len(r.Instances) != 1 {
		t.Errorf("%d of 100 failed (%v); answers by instance: %v", r.Failed, r.Errors, r.Instances)
	}
	thaw()
	instanceIs(t, s, "server", servers[0].Number, "ready again", isReady(true))
	settle(t, s, v.RoundRobin, len(servers))
	sameTasks(t, s, before)
}

// liveness: an instance that does not answer is ended and started again where it is, with the reason.
func liveness(t *testing.T, s *scene.Scene) {
	sick := deploy(t, s, "sick", 1)[0]
	freeze(t, s, sick)
	i := instanceIs(t, s, "sick", 0, "restarted", func(i *client.Instance) bool { return i.Status == wire.StateRunning && i.Restarts == 1 })
	if !strings.Contains(i.StatusDetail, "liveness probe failed: HTTP GET of / on port 80: no answer within 1s") {
		t.Errorf("root tells %q", i.StatusDetail)
	}
	if now := tasks(t, s); now[sick.ID] == 0 {
		t.Errorf("it does not run as %s: %v", sick.ID, now)
	}
}

// neverAgain: what is not to be started again stays ended.
func neverAgain(t *testing.T, s *scene.Scene) {
	v, err := s.Service(t.Context(), "fails")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.API.AddInstance(t.Context(), v.ID); err != nil {
		t.Fatal(err)
	}
	i := instanceIs(t, s, "fails", 0, "dead", func(i *client.Instance) bool { return i.Status == wire.StateDead })
	if i.Restarts != 0 || !strings.Contains(i.StatusDetail, "ended with code 1") {
		t.Errorf("%+v", i)
	}
	vanish(t, s, v)
}

// triedElsewhere: what ends again and again is tried on the other worker too, and stays with the one that had it last.
func triedElsewhere(t *testing.T, s *scene.Scene) {
	v, err := s.Service(t.Context(), "moves")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.API.AddInstance(t.Context(), v.ID); err != nil {
		t.Fatal(err)
	}
	on := map[string]bool{}
	until(t, 60*time.Second, func(ctx context.Context) error {
		for _, w := range s.Testbed.Hosts(testbed.RoleWorker) {
			all, err := s.Testbed.AllContainers(ctx, w.Name) // it runs for a moment only
			if err != nil {
				return err
			}
			for _, id := range all {
				if strings.HasPrefix(id, string(v.ID)+".") {
					on[w.Name] = true
				}
			}
		}
		if len(on) < 2 {
			return fmt.Errorf("it was seen on %v only", on)
		}
		return nil
	})
	instanceIs(t, s, "moves", 0, "failed", func(i *client.Instance) bool {
		return i.Status == wire.StateFailed && strings.Contains(i.StatusDetail, "another worker is looked for")
	})
	vanish(t, s, v)
}

// vanish removes all instances of a service and waits until no worker has anything of them.
func vanish(t *testing.T, s *scene.Scene, v *client.Service) {
	t.Helper()
	if err := s.API.RemoveInstance(t.Context(), v.ID, -1); err != nil {
		t.Fatal(err)
	}
	until(t, 30*time.Second, func(ctx context.Context) error {
		now, err := s.API.Service(ctx, v.ID)
		if err != nil {
			return err
		}
		if len(now.Instances) > 0 {
			return fmt.Errorf("root still has %+v", now.Instances)
		}
		for _, w := range s.Testbed.Hosts(testbed.RoleWorker) {
			all, err := s.Testbed.AllContainers(ctx, w.Name)
			if err != nil {
				return err
			}
			for _, id := range all {
				if strings.HasPrefix(id, string(v.ID)+".") {
					return fmt.Errorf("%s still has %s", w.Name, id)
				}
			}
		}
		return nil
	})
}
