// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// List returns all containers that carry our labels. One that cannot be understood is logged and left alone.
func (r *Runtime) List(ctx context.Context) ([]runtime.Copy, error) {
	found, err := r.client.ContainerService().List(ctx, `labels."`+labelService+`"`)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	copies := make([]runtime.Copy, 0, len(found))
	for _, c := range found {
		cp, err := r.copyOf(ctx, c)
		if errors.Is(err, errForeign) {
			r.opts.Log.Error("container is left alone", "container", c.ID, "error", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		copies = append(copies, cp)
	}
	return copies, nil
}

// Inspect returns one container.
func (r *Runtime) Inspect(ctx context.Context, id string) (runtime.Copy, error) {
	c, err := r.client.ContainerService().Get(ctx, id)
	if err != nil {
		return runtime.Copy{}, notFound(id, err)
	}
	return r.copyOf(ctx, c)
}

// errForeign marks a container that carries our labels but is not as we make them.
var errForeign = errors.New("not a container that this program can run")

func (r *Runtime) copyOf(ctx context.Context, c containers.Container) (runtime.Copy, error) {
	in, err := decodeInstance(c)
	if err != nil {
		return runtime.Copy{}, fmt.Errorf("%w: %w", errForeign, err)
	}
	cp := runtime.Copy{Instance: in, StartedAt: c.CreatedAt}
	if label, ok := c.Labels[labelCompleted]; ok {
		cp.Phase, cp.Exit = runtime.PhaseCompleted, parseCompleted(label)
		return cp, nil
	}
	task, err := r.task(ctx, c.ID)
	if errors.Is(err, runtime.ErrNotFound) {
		cp.Phase = runtime.PhaseIncomplete
		return cp, nil
	}
	if err != nil {
		return cp, err
	}
	s, err := task.Status(ctx)
	if errdefs.IsNotFound(err) {
		cp.Phase = runtime.PhaseIncomplete
		return cp, nil
	}
	if err != nil {
		return cp, fmt.Errorf("read status of %s: %w", c.ID, err)
	}
	switch s.Status {
	case client.Running, client.Paused, client.Pausing:
		cp.Phase = runtime.PhaseRunning
	case client.Stopped:
		cp.Phase, cp.Exit = runtime.PhaseExited, runtime.Exit{Code: s.ExitStatus, At: s.ExitTime, OutOfMemory: r.outOfMemory(c.ID)}
	case client.Created:
		cp.Phase = runtime.PhaseIncomplete
	default:
		return cp, fmt.Errorf("read status of %s: containerd does not know it now (%s)", c.ID, s.Status)
	}
	return cp, nil
}
