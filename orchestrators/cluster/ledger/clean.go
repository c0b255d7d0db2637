// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Bounds of what a worker can have stored and passed on to root.
const (
	maxDetail   = 1024 // bytes
	maxRuntimes = 16
	maxWord     = 64 // bytes
	maxName     = 253
	// maxAmount bounds capacities, so that sums of them stay exact; maxDevices does so for what is counted in int, of 32 bits on small boards.
	maxAmount  = 1 << 40
	maxDevices = 1 << 20
	// maxCopies bounds the copies that one worker may have adopted; a subnet of its holds fewer.
	maxCopies = 4096
	// maxAhead is by how much a worker's clock may be early.
	maxAhead = time.Hour
)

// clean cuts what a worker says of an instance down to size. It reports false for what is no state of an instance at all.
func clean(wi *wire.WorkerInstance, now time.Time) bool {
	if !pki.ValidID(wi.ServiceID) || wi.Number < 0 || wi.Number > math.MaxInt32 {
		return false
	}
	switch wi.State {
	case wire.StateNodeScheduled, wire.StateCreating, wire.StateCreated, wire.StateRunning, wire.StateCompleted, wire.StateFailed,
		wire.StateDead, wire.StateUndeployed:
	default:
		return false
	}
	if len(wi.Detail) > maxDetail {
		wi.Detail = strings.ToValidUTF8(wi.Detail[:maxDetail], "") + "…"
	}
	wi.Scheduling, wi.Leaving = nil, false // are the cluster's to say
	wi.Restarts = min(max(wi.Restarts, 0), math.MaxInt32)
	wi.CPUPercent, wi.MemoryBytes = min(max(wi.CPUPercent, 0), 1e9), max(wi.MemoryBytes, 0)
	if wi.Since.Before(time.Unix(0, 0)) || wi.Since.After(now.Add(maxAhead)) {
		wi.Since = now
	}
	return true
}

// cleanInformation does the same for what a worker says of itself.
func cleanInformation(m *wire.Information) {
	for _, list := range []*[]string{&m.Runtimes, &m.Addons, &m.VolumeDrivers} {
		*list = slices.DeleteFunc(slices.Clone((*list)[:min(len(*list), maxRuntimes)]), func(r string) bool { return r == "" || len(r) > maxWord })
	}
	for _, word := range []*string{&m.Architecture, &m.Name, &m.Version} {
		if len(*word) > maxName {
			*word = ""
		}
	}
	m.Capacity = wire.Slot{VCPUs: min(max(m.Capacity.VCPUs, 0), maxAmount), MemoryMB: min(max(m.Capacity.MemoryMB, 0), maxAmount),
		StorageMB: min(max(m.Capacity.StorageMB, 0), maxAmount), GPUs: min(max(m.Capacity.GPUs, 0), maxDevices),
		TPUs: min(max(m.Capacity.TPUs, 0), maxDevices), BandwidthIn: min(max(m.Capacity.BandwidthIn, 0), maxAmount),
		BandwidthOut: min(max(m.Capacity.BandwidthOut, 0), maxAmount)}
	m.UsedPorts.TCP, m.UsedPorts.UDP = cleanPorts(m.UsedPorts.TCP), cleanPorts(m.UsedPorts.UDP)
	if m.Location != nil && !geo.Valid(*m.Location) {
		m.Location = nil
	}
	m.CPUPercent, m.MemoryPercent = min(max(m.CPUPercent, 0), 100), min(max(m.MemoryPercent, 0), 100)
}

// cleanPorts brings a list into the order in which it is searched. Without repetitions it is no longer than there are ports.
func cleanPorts(list []uint16) []uint16 {
	return slices.Compact(slices.Sorted(slices.Values(list)))
}
