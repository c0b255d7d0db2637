// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"math"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// A change of use is worth a message from these on: points of one processor, and a part of the memory, at least 1 MiB.
const (
	notableCPU       = 5.0
	notableMemory    = 0.05
	notableMemoryMin = 1 << 20
)

// sample is a copy's processor time at one moment.
type sample struct {
	cpu time.Duration
	at  time.Time
}

// SampleUsage reads the use of all running instances and has those reported whose use changed notably.
func (a *Agent) SampleUsage(ctx context.Context) {
	for name, rt := range a.opts.Runtimes {
		usage, err := rt.Usage(ctx)
		if err != nil {
			a.opts.Log.Warn("use of instances is unknown", "runtime", name, "error", err)
			continue
		}
		a.noteUsage(name, usage, time.Now())
	}
}

func (a *Agent) noteUsage(name string, usage map[string]runtime.Usage, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fresh := make(map[string]sample, len(usage))
	for key, c := range a.actors {
		r := c.rows.copy
		if r == nil || c.rows.spec == nil || c.rows.spec.Runtime != name {
			continue
		}
		id := runtime.ID(key, r.Generation)
		u, running := usage[id]
		next := *r
		next.CPUPercent, next.MemoryBytes = 0, 0
		if running && r.State == wire.StateRunning {
			fresh[id] = sample{u.CPU, now}
			next.MemoryBytes = u.MemoryBytes
			next.CPUPercent = r.CPUPercent
			if old, ok := a.samples[id]; ok && now.After(old.at) && u.CPU >= old.cpu {
				next.CPUPercent = math.Round(1000*float64(u.CPU-old.cpu)/float64(now.Sub(old.at))) / 10
			}
		}
		if notable(*r, next) {
			c.rows.copy = &next
			a.changed[key] = struct{}{}
			a.signal()
		}
	}
	a.samples = fresh
}

// notable reports whether the use in b differs from that in a by enough for a message.
func notable(a, b wire.InstanceReport) bool {
	memory := math.Abs(float64(a.MemoryBytes - b.MemoryBytes))
	return math.Abs(a.CPUPercent-b.CPUPercent) >= notableCPU ||
		memory >= notableMemoryMin && memory >= notableMemory*float64(a.MemoryBytes)
}
