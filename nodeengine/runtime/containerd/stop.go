// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// killTimeout is how long the kernel may take to end a process after SIGKILL.
const killTimeout = 20 * time.Second

// Wait returns when the container's process has ended.
func (r *Runtime) Wait(ctx context.Context, id string) (runtime.Exit, error) {
	task, err := r.task(ctx, id)
	if err != nil {
		return runtime.Exit{}, err
	}
	ch, err := task.Wait(ctx)
	if err != nil {
		return runtime.Exit{}, notFound(id, err)
	}
	select {
	case s := <-ch:
		if err := s.Error(); err != nil {
			return runtime.Exit{}, fmt.Errorf("wait for %s: %w", id, err)
		}
		return runtime.Exit{Code: s.ExitCode(), At: s.ExitTime(), OutOfMemory: r.outOfMemory(id)}, nil
	case <-ctx.Done():
		return runtime.Exit{}, ctx.Err()
	}
}

// Complete deletes the task and the root file system and labels the container, so that not even a reboot runs it again.
func (r *Runtime) Complete(ctx context.Context, id string, exit runtime.Exit) error {
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return notFound(id, err)
	}
	if err := r.mark(ctx, id, labelCompleted, completedLabel(exit)); err != nil {
		return fmt.Errorf("mark %s completed: %w", id, err)
	}
	if err := r.deleteTask(ctx, c, 0); err != nil {
		return err
	}
	err = r.client.SnapshotService(r.snapshotter).Remove(ctx, id)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove file system of %s: %w", id, err)
	}
	return nil
}

// Remove ends the container and deletes task, container, snapshot and files.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	c, err := r.client.LoadContainer(ctx, id)
	switch {
	case errdefs.IsNotFound(err):
		// A snapshot is made before its container.
		if err := r.client.SnapshotService(r.snapshotter).Remove(ctx, id); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("remove file system of %s: %w", id, err)
		}
	case err != nil:
		return fmt.Errorf("load container %s: %w", id, err)
	default:
		if err := r.deleteTask(ctx, c, r.opts.StopGrace); err != nil {
			return err
		}
		if err := c.Delete(ctx, client.WithSnapshotCleanup); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("delete container %s: %w", id, err)
		}
	}
	if err := errors.Join(os.RemoveAll(r.filesDir(id)), os.RemoveAll(r.secretsDir(id))); err != nil {
		return fmt.Errorf("remove files of %s: %w", id, err)
	}
	return nil
}

// deleteTask ends the container's processes, kindly if there is grace, and deletes the task, with which its cgroup goes.
func (r *Runtime) deleteTask(ctx context.Context, c client.Container, grace time.Duration) error {
	task, err := c.Task(ctx, nil)
	if errdefs.IsNotFound(err) {
		return r.deleteHalfMade(ctx, c.ID())
	}
	if err != nil {
		return fmt.Errorf("load task of %s: %w", c.ID(), err)
	}
	ended, err := task.Wait(ctx)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("wait for %s: %w", c.ID(), err)
	}
	status, err := task.Status(ctx)
	if err == nil && (status.Status == client.Running || status.Status == client.Paused) {
		if err := r.end(ctx, c, task, ended, grace); err != nil {
			return err
		}
	}
	if _, err := task.Delete(ctx, client.WithProcessKill); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete task of %s: %w", c.ID(), err)
	}
	return nil
}

// deleteHalfMade removes the shim of a task that was never made whole, since containerd was killed meanwhile. containerd then says that
// there is no such task, and yet refuses to make it ("already exists"); asked to delete it, it says the same, and ends the shim.
func (r *Runtime) deleteHalfMade(ctx context.Context, id string) error {
	_, err := r.client.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
	if err = errgrpc.ToNative(err); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete half-made task of %s: %w", id, err)
	}
	return nil
}

// end signals the main process, and after the grace kills all.
func (r *Runtime) end(ctx context.Context, c client.Container, task client.Task, ended <-chan client.ExitStatus, grace time.Duration) error {
	if grace > 0 {
		signal, err := client.GetStopSignal(ctx, c, syscall.SIGTERM)
		if err != nil {
			signal = syscall.SIGTERM
		}
		if err := task.Kill(ctx, signal); err == nil {
			select {
			case <-ended:
				return nil
			case <-ctx.Done():
				return fmt.Errorf("stop %s: %w", c.ID(), ctx.Err())
			case <-time.After(grace):
			}
		}
	}
	if err := task.Kill(ctx, syscall.SIGKILL, client.WithKillAll); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("kill %s: %w", c.ID(), err)
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kill %s: %w", c.ID(), ctx.Err())
	case <-time.After(killTimeout):
		return errors.New("kill " + c.ID() + ": it did not end within " + killTimeout.String() + ": a process hangs in the kernel, see dmesg")
	}
}
