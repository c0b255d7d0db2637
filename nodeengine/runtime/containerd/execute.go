// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"crypto/rand"
	"fmt"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

var _ runtime.Executor = (*Runtime)(nil)

// executeEnd bounds how long the end of a command that was given up may take.
const executeEnd = 5 * time.Second

// Execute runs a command as the container's own process runs: same user, capabilities, limits and environment.
func (r *Runtime) Execute(ctx context.Context, id string, command []string) (status uint32, err error) {
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return 0, notFound(id, err)
	}
	process, err := r.ownProcess(ctx, c)
	if err != nil {
		return 0, err
	}
	task, err := c.Task(ctx, nil)
	if err != nil {
		return 0, notFound(id, err)
	}
	process.Args, process.Terminal = command, false
	starting, started := context.WithTimeout(context.WithoutCancel(ctx), attendStart) // as in Attend
	defer started()
	p, err := task.Exec(starting, "probe-"+rand.Text(), process, cio.NullIO)
	if err != nil {
		return 0, fmt.Errorf("run command in %s: %w", id, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), executeEnd)
		defer cancel()
		_ = endProcess(ctx, p)
	}()
	waiting, stop := context.WithCancel(context.WithoutCancel(ctx)) // also for what the end of ctx does
	defer stop()
	ended, err := p.Wait(waiting)
	if err != nil {
		return 0, fmt.Errorf("wait for command in %s: %w", id, err)
	}
	if err := p.Start(starting); err != nil {
		return 0, fmt.Errorf("start command: %w", err)
	}
	select {
	case s := <-ended:
		if err := s.Error(); err != nil {
			return 0, fmt.Errorf("wait for command in %s: %w", id, err)
		}
		return s.ExitCode(), nil
	case <-ctx.Done():
		kill, cancel := context.WithTimeout(context.WithoutCancel(ctx), executeEnd)
		defer cancel()
		_ = p.Kill(kill, syscall.SIGKILL)
		return 0, ctx.Err()
	}
}
