// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Candidate is a place where an instance could go: a worker for a cluster, or for root one architecture and runtime of a
// cluster, whose Free is then the largest free slot of a single worker.
type Candidate struct {
	// ID identifies the candidate and breaks ties; Name is what people call it.
	ID, Name string
	Arch     string
	Runtimes []string
	// Unavailable says in a person's words why nothing new may go there now; empty when it may.
	Unavailable string
	// Capacity is what the candidate has in all; Free what is not reserved. Free may be negative where a candidate shrank.
	Capacity, Free wire.Slot
	// SameService is how many instances of the requested service are there already.
	SameService int
	// Ports are the host ports that instances have there; UsedPorts are those of the candidate's own processes.
	Ports     []wire.Port
	UsedPorts wire.HostPorts
}

// Reserve takes what req needs out of the candidate's free amounts and notes its ports and service.
func (c *Candidate) Reserve(req Request) {
	c.Free = Sub(c.Free, req.Need)
	c.Ports = append(slices.Clip(c.Ports), req.Ports...)
	c.SameService++
}

// Sub returns a less b, amount by amount.
func Sub(a, b wire.Slot) wire.Slot {
	return wire.Slot{
		VCPUs:     a.VCPUs - b.VCPUs,
		MemoryMB:  a.MemoryMB - b.MemoryMB,
		StorageMB: a.StorageMB - b.StorageMB,
		GPUs:      a.GPUs - b.GPUs,
	}
}

// Add returns a and b together, amount by amount.
func Add(a, b wire.Slot) wire.Slot {
	return wire.Slot{
		VCPUs:     a.VCPUs + b.VCPUs,
		MemoryMB:  a.MemoryMB + b.MemoryMB,
		StorageMB: a.StorageMB + b.StorageMB,
		GPUs:      a.GPUs + b.GPUs,
	}
}

// Fits reports whether need is within free.
func Fits(need, free wire.Slot) bool {
	return need.VCPUs <= free.VCPUs && need.MemoryMB <= free.MemoryMB && need.StorageMB <= free.StorageMB && need.GPUs <= free.GPUs
}
