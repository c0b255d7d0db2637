// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	// removeAtOnce is how many containers end at the same time.
	removeAtOnce = 8
	// collectWithin is how long containerd may take to collect what belongs to nothing, and collectPause the time between two looks.
	collectWithin = time.Minute
	collectPause  = 200 * time.Millisecond
)

// Uninstall ends and removes every container of this worker, and if no other worker has one in the containerd namespace, all images and the
// namespace. The logs stay: they are the state folder's.
func (r *Runtime) Uninstall(ctx context.Context) error {
	copies, err := r.List(ctx)
	if err != nil {
		return err
	}
	var ending errgroup.Group
	ending.SetLimit(removeAtOnce)
	for _, c := range copies {
		ending.Go(func() error {
			r.opts.Log.Info("ending and removing", "instance", c.Instance.ID())
			return r.Remove(ctx, c.Instance.ID())
		})
	}
	if err := ending.Wait(); err != nil {
		return err
	}
	if err := r.sweepSnapshots(ctx, func(string) bool { return true }); err != nil {
		return err
	}
	if err := r.removeMemory(); err != nil {
		return err
	}
	if err := r.removeCgroups(); err != nil {
		return err
	}
	left, err := r.client.ContainerService().List(ctx)
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	if len(left) > 0 {
		r.opts.Log.Warn("other containers are in the namespace, which stays with its images", "namespace", r.opts.Namespace, "containers", len(left))
		return nil
	}
	return r.removeNamespace(ctx)
}

// removeMemory unmounts what was mounted for secrets, where /run was not in memory already.
func (r *Runtime) removeMemory() error {
	err := unix.Unmount(r.secretsDir(""), unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount what secrets were in: %w", err)
	}
	return nil
}

// removeCgroups removes the folders above the containers' cgroups in each hierarchy; what is still in use stays.
func (r *Runtime) removeCgroups() error {
	own := r.cgroupPath("")
	for _, base := range []string{cgroupRoot, filepath.Join(cgroupRoot, "*")} {
		found, err := filepath.Glob(filepath.Join(base, own))
		if err != nil {
			return fmt.Errorf("look for cgroups: %w", err)
		}
		for _, dir := range found {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove cgroup: %w", err)
			}
			_ = os.Remove(filepath.Dir(dir)) // another worker's may be in it
		}
	}
	return nil
}

// removeNamespace removes images, has containerd collect what they were made of, and removes the namespace.
func (r *Runtime) removeNamespace(ctx context.Context) error {
	held, err := r.client.LeasesService().List(ctx)
	if err != nil {
		return fmt.Errorf("list what containerd is to keep: %w", err)
	}
	for _, l := range held {
		if err := r.client.LeasesService().Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("let go of what containerd is to keep: %w", err)
		}
	}
	all, err := r.client.ImageService().List(ctx)
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	for _, i := range all {
		if err := r.client.ImageService().Delete(ctx, i.Name); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("remove image %s: %w", i.Name, err)
		}
	}
	if err := r.collect(ctx); err != nil {
		return err
	}
	deadline := time.Now().Add(collectWithin)
	for {
		err := r.client.NamespaceService().Delete(ctx, r.opts.Namespace)
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		if !errdefs.IsFailedPrecondition(err) || time.Now().After(deadline) {
			return fmt.Errorf("remove containerd's namespace %s: %w", r.opts.Namespace, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove containerd's namespace %s: %w", r.opts.Namespace, ctx.Err())
		case <-time.After(collectPause):
		}
	}
}

// collect waits until containerd has looked once for what belongs to nothing, which the end of a lease has it do.
func (r *Runtime) collect(ctx context.Context) error {
	l, err := r.client.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(time.Hour))
	if err != nil {
		return fmt.Errorf("have containerd collect garbage: %w", err)
	}
	if err := r.client.LeasesService().Delete(ctx, l, leases.SynchronousDelete); err != nil {
		return fmt.Errorf("have containerd collect garbage: %w", err)
	}
	return nil
}
