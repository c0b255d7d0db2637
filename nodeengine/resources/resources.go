// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/mem"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Machine reads the resources of the machine that it runs on.
type Machine struct {
	// dir is a folder on the file system that holds images and containers.
	dir string

	mu   sync.Mutex
	last cpu.TimesStat
	// uplink is the speed of the uplink as of uplinkAt, in kbit/s.
	uplink   int64
	uplinkAt time.Time
}

// uplinkFor is how long the speed of the uplink is believed.
const uplinkFor = time.Minute

// Reading is the machine at one moment. Percentages are 0 to 100.
type Reading struct {
	Capacity                               wire.Slot
	CPUPercent, MemoryPercent, DiskPercent float64
}

// Open returns the machine; dir is on the file system that holds images and containers.
func Open(dir string) (*Machine, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("read resources: %w", err)
	}
	return &Machine{dir: dir}, nil
}

// Architecture returns the machine's architecture by its OCI name, such as amd64 or arm64.
func Architecture() string { return runtime.GOARCH }

// Read returns capacity and use. Processor use is the mean since the call before; 0 the first time.
func (m *Machine) Read(ctx context.Context) (Reading, error) {
	times, err := cpu.TimesWithContext(ctx, false)
	if err != nil || len(times) == 0 {
		return Reading{}, fmt.Errorf("read processor use: %w", err)
	}
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return Reading{}, fmt.Errorf("read memory use: %w", err)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(m.dir, &disk); err != nil {
		return Reading{}, fmt.Errorf("read disk use of %s: %w", m.dir, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); m.uplinkAt.IsZero() || now.Sub(m.uplinkAt) > uplinkFor {
		m.uplink, m.uplinkAt = UplinkKbit(), now
	}
	r := Reading{
		Capacity: wire.Slot{
			VCPUs:     float64(runtime.NumCPU()),
			MemoryMB:  int64(memory.Total >> 20),
			StorageMB: int64(disk.Blocks) * int64(disk.Bsize) >> 20, //nolint:unconvert // of 32 bits on 32-bit machines
			// The link is taken for one that sends and receives at its speed.
			BandwidthIn: m.uplink, BandwidthOut: m.uplink,
		},
		CPUPercent:    busy(m.last, times[0]),
		MemoryPercent: memory.UsedPercent,
	}
	if disk.Blocks > 0 {
		r.DiskPercent = 100 * float64(disk.Blocks-disk.Bavail) / float64(disk.Blocks)
	}
	m.last = times[0]
	return r, nil
}

// busy returns the share of processor time between two readings that was not idle.
func busy(from, to cpu.TimesStat) float64 {
	if from.CPU == "" {
		return 0
	}
	idle := to.Idle + to.Iowait - from.Idle - from.Iowait
	total := idle + to.User + to.System + to.Nice + to.Irq + to.Softirq + to.Steal -
		from.User - from.System - from.Nice - from.Irq - from.Softirq - from.Steal
	if total <= 0 {
		return 0
	}
	return min(100, max(0, 100*(1-idle/total)))
}
