// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"os/exec"
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

// Containers returns the ids of the containers on a worker that have a task, "<service>.<number>.<placement>-<move>" each.
func (t *Testbed) Containers(ctx context.Context, worker string) ([]string, error) {
	out, err := t.ctr(ctx, worker, "tasks", "ls", "--quiet")
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(out)), nil
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
