// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// runcRuntime is containerd's shim for runc.
const runcRuntime = "io.containerd.runc.v2"

// Create makes the container with its snapshot and a task that waits to be started.
func (r *Runtime) Create(ctx context.Context, in runtime.Instance, namespace string) error {
	id := in.ID()
	image, err := r.image(ctx, in.Spec)
	if err != nil {
		return fmt.Errorf("find image of %s: %w", id, err)
	}
	specOpts, err := r.specOpts(in, image, namespace)
	if err != nil {
		return err
	}
	secretMounts, err := r.secretFiles(ctx, in)
	if err != nil {
		return err
	}
	specOpts = append(specOpts, oci.WithMounts(secretMounts))
	ext, err := encodeInstance(in)
	if err != nil {
		return err
	}
	attempt := func() (client.Container, error) {
		return r.client.NewContainer(ctx, id,
			client.WithImage(image),
			client.WithSnapshotter(r.snapshotter),
			client.WithNewSnapshot(id, image, snapshots.WithLabels(map[string]string{labelWorker: r.opts.WorkerID})),
			client.WithRuntime(runcRuntime, &options.Options{Root: r.runcRoot()}),
			client.WithContainerLabels(r.labels(in)),
			client.WithImageStopSignal(image, "SIGTERM"),
			client.WithContainerExtension(extension, ext),
			client.WithNewSpec(specOpts...),
		)
	}
	c, err := attempt()
	if errdefs.IsAlreadyExists(err) { // the container or its snapshot is left from an attempt that was cut short
		if err := r.Remove(ctx, id); err != nil {
			return err
		}
		if _, err = r.writeFiles(in); err != nil {
			return err
		}
		if _, err = r.secretFiles(ctx, in); err != nil {
			return err
		}
		c, err = attempt()
	}
	if err != nil {
		return fmt.Errorf("create container %s: %w", id, err)
	}
	if err := r.newTask(ctx, c, in); err != nil {
		return errors.Join(fmt.Errorf("create task of %s: %w", id, err), r.Remove(context.WithoutCancel(ctx), id))
	}
	return nil
}

// Start starts the container's process.
func (r *Runtime) Start(ctx context.Context, id string, nameserver netip.Addr) error {
	if err := r.writeResolvConf(id, nameserver); err != nil {
		return err
	}
	task, err := r.task(ctx, id)
	if err != nil {
		return err
	}
	if err := task.Start(ctx); err != nil {
		return fmt.Errorf("start %s: %w", id, err)
	}
	return nil
}

// task returns the task of container id; [runtime.ErrNotFound] if there is no container or no task.
func (r *Runtime) task(ctx context.Context, id string) (client.Task, error) {
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return nil, notFound(id, err)
	}
	t, err := c.Task(ctx, nil)
	if err != nil {
		return nil, notFound(id, err)
	}
	return t, nil
}

// notFound turns containerd's error for what is not there into the interface's.
func notFound(id string, err error) error {
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("container %s: %w", id, runtime.ErrNotFound)
	}
	return fmt.Errorf("load container %s: %w", id, err)
}
