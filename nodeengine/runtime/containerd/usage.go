// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"fmt"
	"time"

	v1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	v2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	"google.golang.org/protobuf/proto"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// Usage asks containerd once for the metrics of all running containers.
func (r *Runtime) Usage(ctx context.Context) (map[string]runtime.Usage, error) {
	resp, err := r.client.TaskService().Metrics(ctx, &tasks.MetricsRequest{})
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	usage := make(map[string]runtime.Usage, len(resp.Metrics))
	for _, m := range resp.Metrics {
		if u, ok := usageOf(m); ok {
			usage[m.ID] = u
		}
	}
	return usage, nil
}

// usageOf reads the metrics of a cgroup v1 or v2 host. Page cache that can be dropped at once is not counted as use.
func usageOf(m *types.Metric) (runtime.Usage, bool) {
	switch m.GetData().GetTypeUrl() {
	case "io.containerd.cgroups.v1.Metrics":
		var s v1.Metrics
		if proto.Unmarshal(m.Data.Value, &s) != nil {
			return runtime.Usage{}, false
		}
		return runtime.Usage{
			CPU:         time.Duration(s.GetCPU().GetUsage().GetTotal()),
			MemoryBytes: less(s.GetMemory().GetUsage().GetUsage(), s.GetMemory().GetTotalInactiveFile()),
		}, true
	case "io.containerd.cgroups.v2.Metrics":
		var s v2.Metrics
		if proto.Unmarshal(m.Data.Value, &s) != nil {
			return runtime.Usage{}, false
		}
		return runtime.Usage{
			CPU:         time.Duration(s.GetCPU().GetUsageUsec()) * time.Microsecond,
			MemoryBytes: less(s.GetMemory().GetUsage(), s.GetMemory().GetInactiveFile()),
		}, true
	default:
		return runtime.Usage{}, false
	}
}

func less(total, part uint64) int64 { return int64(total - min(part, total)) }
