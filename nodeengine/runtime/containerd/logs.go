// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"path/filepath"

	"github.com/oakestra/oakestra-ebpf/nodeengine/logs"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

var _ runtime.Streamer = (*Runtime)(nil)

func (r *Runtime) logDir() string { return filepath.Join(r.opts.StateDir, "logs") }

// logPath is the log of container id: what it writes to standard output and error. containerd's shim appends to it, also
// while NodeEngine is not there.
func (r *Runtime) logPath(id string) string { return r.logs.Path(id) }

// DropLog deletes the log of container id.
func (r *Runtime) DropLog(id string) error { return r.logs.Drop(id) }

// BoundLogs keeps logs within bounds, and notes when what was written, until ctx ends.
func (r *Runtime) BoundLogs(ctx context.Context) { r.logs.Run(ctx) }

// Logs hands the log of container id to sink.
func (r *Runtime) Logs(ctx context.Context, id string, o logs.Options, sink logs.Sink) error {
	return r.logs.Read(ctx, id, o, sink)
}
