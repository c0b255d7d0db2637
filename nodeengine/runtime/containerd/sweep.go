// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

var _ runtime.Sweeper = (*Runtime)(nil)

// Sweep removes what no container belongs to, save for the ids to keep: file systems, which are made before their container, files that
// were mounted into it, and logs.
func (r *Runtime) Sweep(ctx context.Context, keep map[string]bool) error {
	here, err := r.client.ContainerService().List(ctx)
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	used := make(map[string]bool, len(here))
	for _, c := range here {
		used[c.ID] = true
	}
	left := func(id string) bool {
		_, _, err := runtime.ParseID(id)
		return err == nil && !used[id] && !keep[id]
	}
	return errors.Join(r.sweepSnapshots(ctx, left), r.sweepFiles(left), r.sweepLogs(left))
}

// sweepSnapshots looks at this worker's own alone: several may share a containerd.
func (r *Runtime) sweepSnapshots(ctx context.Context, left func(id string) bool) error {
	service := r.client.SnapshotService(r.snapshotter)
	var ids []string
	err := service.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if left(i.Name) {
			ids = append(ids, i.Name)
		}
		return nil
	}, `labels."`+labelWorker+`"==`+r.opts.WorkerID)
	if err != nil {
		return fmt.Errorf("list file systems: %w", err)
	}
	var errs []error
	for _, id := range ids {
		r.opts.Log.Info("removing a file system that no container has", "id", id)
		if err := service.Remove(ctx, id); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("remove file system of %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Runtime) sweepFiles(left func(id string) bool) error {
	entries, err := os.ReadDir(r.filesDir(""))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if left(e.Name()) {
			errs = append(errs, os.RemoveAll(r.filesDir(e.Name())))
		}
	}
	return errors.Join(errs...)
}

func (r *Runtime) sweepLogs(left func(id string) bool) error {
	entries, err := os.ReadDir(filepath.Dir(r.logPath("")))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if id, _, ok := strings.Cut(e.Name(), ".log"); ok && left(id) {
			errs = append(errs, r.DropLog(id))
		}
	}
	return errors.Join(errs...)
}
