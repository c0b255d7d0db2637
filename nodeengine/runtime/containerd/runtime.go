// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/client"
	"golang.org/x/sync/singleflight"

	"github.com/oakestra/oakestra-ebpf/control/lifecycle"
	"github.com/oakestra/oakestra-ebpf/nodeengine/logs"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// Name is the descriptor's virtualization that this runtime serves.
const Name = "container"

// snapshotters are those used, best first. Native copies whole file systems and works where overlayfs does not.
var preferredSnapshotters = [...]string{"overlayfs", "native"}

// Options say where containerd is and what containers get.
type Options struct {
	// Socket is containerd's Unix socket, Namespace the containerd namespace that holds the images and containers.
	Socket, Namespace string
	// StateDir keeps logs, RunDir what need not survive a reboot; both absolute.
	StateDir, RunDir string
	// WorkerID names the worker in labels and, shortened, in the cgroup path.
	WorkerID string
	// InsecureRegistries are HOST:PORT that are spoken to over plain HTTP.
	InsecureRegistries []string
	// Secrets gets the values of secrets; nil if there are none.
	Secrets Secrets
	// AllowPrivileged lets descriptors ask for privileged containers, which own the machine.
	AllowPrivileged bool
	// StopGrace is how long a container has between SIGTERM and SIGKILL; 0 is 5 s.
	StopGrace time.Duration
	// MaxLogBytes bounds a container's log; 0 is 10 MiB. Twice as much is kept at most.
	MaxLogBytes int64
	// PullStall is for how long nothing may come for a pull; 0 is [lifecycle.StallWithin].
	PullStall time.Duration
	Log       *slog.Logger
}

// Runtime runs OCI containers.
type Runtime struct {
	opts        Options
	client      *client.Client
	snapshotter string
	pulls       singleflight.Group
	logs        *logs.Folder
}

var _ runtime.Runtime = (*Runtime)(nil)

// Connect waits until containerd answers, or ctx ends, and returns a runtime. Later losses of the connection heal by themselves.
func Connect(ctx context.Context, o Options) (*Runtime, error) {
	if !filepath.IsAbs(o.StateDir) || !filepath.IsAbs(o.RunDir) {
		return nil, fmt.Errorf("start container runtime: state folder %q and run folder %q must be absolute paths", o.StateDir, o.RunDir)
	}
	if o.StopGrace == 0 {
		o.StopGrace = 5 * time.Second
	}
	if o.PullStall == 0 {
		o.PullStall = lifecycle.StallWithin
	}
	if o.MaxLogBytes == 0 {
		o.MaxLogBytes = 10 << 20
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	c, err := client.New(o.Socket, client.WithDefaultNamespace(o.Namespace), client.WithTimeout(2*time.Second))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd on %s: %w", o.Socket, err)
	}
	r := &Runtime{opts: o, client: c}
	for _, dir := range []string{r.filesDir(""), r.runcRoot(), r.execDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, errors.Join(fmt.Errorf("start container runtime: %w", err), c.Close())
		}
	}
	if r.logs, err = logs.Open(r.logDir(), o.MaxLogBytes, o.Log); err != nil {
		return nil, errors.Join(fmt.Errorf("start container runtime: %w", err), c.Close())
	}
	if err := r.awaitSnapshotter(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return r, nil
}

// Close drops the connection; containers run on.
func (r *Runtime) Close() error { return r.client.Close() }

// awaitSnapshotter asks containerd for the best snapshotter that works, again and again until it answers.
func (r *Runtime) awaitSnapshotter(ctx context.Context) error {
	for wait := 50 * time.Millisecond; ; wait = min(wait*2, 2*time.Second) {
		name, err := r.findSnapshotter(ctx)
		if err == nil {
			r.snapshotter = name
			r.opts.Log.Info("containerd answers", "socket", r.opts.Socket, "snapshotter", name)
			return nil
		}
		r.opts.Log.Warn("containerd is not usable yet", "socket", r.opts.Socket, "error", err, "retry_in", wait)
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for containerd on %s: %w: start it (systemctl restart containerd), or name its socket with --containerd; `oak doctor worker` looks for more", r.opts.Socket, err)
		case <-time.After(wait):
		}
	}
}

func (r *Runtime) findSnapshotter(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := r.client.IntrospectionService().Plugins(ctx, "type==io.containerd.snapshotter.v1")
	if err != nil {
		return "", err
	}
	var working []string
	for _, p := range resp.Plugins {
		if p.InitErr == nil {
			working = append(working, p.ID)
		}
	}
	for _, name := range preferredSnapshotters {
		if slices.Contains(working, name) {
			return name, nil
		}
	}
	return "", fmt.Errorf("containerd has none of the snapshotters %v, only %v: enable one in its config", preferredSnapshotters, working)
}
