// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// allRun says why not n instances of a service run, as root and containerd both see it.
func allRun(v *client.Service, containers []scene.Container, n int) error {
	running := 0
	var not error
	for _, i := range v.Instances {
		if i.Status == wire.StateRunning {
			running++
			continue
		}
		not = fmt.Errorf("instance %d of %s is %s: %s", i.Number, v.JobName, i.Status, i.StatusDetail)
	}
	if running != n {
		return errors.Join(fmt.Errorf("%d of %d instances of %s run", running, n, v.JobName), not)
	}
	if len(containers) != n {
		return fmt.Errorf("containerd runs %d of %d instances of %s", len(containers), n, v.JobName)
	}
	return nil
}

// tasks returns the process of each container of all workers: the same before and after, if none has been restarted.
func tasks(t *testing.T, s *scene.Scene) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, w := range s.Testbed.Hosts(testbed.RoleWorker) {
		pids, err := s.Testbed.Tasks(t.Context(), w.Name)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(all, pids)
	}
	return all
}

// sameTasks fails the test if a container has been restarted, added or lost since before.
func sameTasks(t *testing.T, s *scene.Scene, before map[string]int) {
	t.Helper()
	if now := tasks(t, s); !maps.Equal(before, now) {
		t.Errorf("containers and their processes were %v, are %v", before, now)
	}
}

// call has the client's container call somebody.
func call(ctx context.Context, t *testing.T, s *scene.Scene, report any, args ...string) {
	t.Helper()
	c, err := s.Client(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Call(ctx, c, report, args...); err != nil {
		t.Fatal(err)
	}
}

// clientOf finds the client's container without asking root, among the tasks of the workers: by what runs in it.
func clientOf(t *testing.T, s *scene.Scene, tasks map[string]int) scene.Container {
	t.Helper()
	for _, w := range s.Testbed.Hosts(testbed.RoleWorker) {
		ids, err := s.Testbed.Containers(t.Context(), w.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", tasks[id]))
			if err == nil && filepath.Base(exe) == scene.ImageClient {
				return scene.Container{ID: id, Worker: w.Name}
			}
		}
	}
	t.Fatalf("no task of %v runs %s", tasks, scene.ImageClient)
	return scene.Container{}
}
