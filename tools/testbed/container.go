// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// execs numbers the processes that this program runs in containers: their names are unique within a container.
type execs struct{ n atomic.Uint64 }

func (e *execs) next() string {
	return "testbed-" + strconv.FormatInt(time.Now().UnixNano(), 36) + "-" + strconv.FormatUint(e.n.Add(1), 36)
}

// Containers returns the ids of the containers on a worker whose task runs, "<service>.<number>.<placement>-<move>" each.
func (t *Testbed) Containers(ctx context.Context, worker string) ([]string, error) {
	tasks, err := t.Tasks(ctx, worker)
	return slices.Sorted(maps.Keys(tasks)), err
}

// Tasks returns the first process of each container on a worker whose task runs.
func (t *Testbed) Tasks(ctx context.Context, worker string) (map[string]int, error) {
	out, err := t.ctr(ctx, worker, "tasks", "ls")
	if err != nil {
		return nil, err
	}
	tasks := map[string]int{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line) // TASK PID STATUS, under a heading
		if len(f) < 3 || f[2] != "RUNNING" {
			continue
		}
		pid, err := strconv.Atoi(f[1])
		if err != nil {
			return nil, fmt.Errorf("read the list of tasks of %s: %q", worker, line)
		}
		tasks[f[0]] = pid
	}
	return tasks, nil
}

// AllContainers returns the ids of all containers on a worker, whether or not a task of theirs runs.
func (t *Testbed) AllContainers(ctx context.Context, worker string) ([]string, error) {
	out, err := t.ctr(ctx, worker, "containers", "ls", "-q")
	return strings.Fields(string(out)), err
}

// ExecIn runs a command in a container of a worker and returns its output.
func (t *Testbed) ExecIn(ctx context.Context, worker, container string, argv ...string) ([]byte, error) {
	return t.ctr(ctx, worker, append([]string{"tasks", "exec", "--exec-id", t.execs.next(), container}, argv...)...)
}

// ctr runs containerd's own client against the containerd of a worker.
func (t *Testbed) ctr(ctx context.Context, worker string, args ...string) ([]byte, error) {
	if _, err := t.Host(worker); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "ctr", append([]string{"--address", ContainerdSocket(worker), "--namespace", containerdNS}, args...)...) //nolint:gosec // fixed program
	return output(cmd, cmd.Start)
}
