// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Candidate is a place where an instance could go: a worker for a cluster, or for root one architecture and runtime of a
// cluster, whose Slots are then what single workers have free.
type Candidate struct {
	// ID identifies the candidate and breaks ties; Name is what people call it.
	ID, Name string
	// Site is the id of what the candidate is a part of, such as a cluster; empty for itself. Candidates of one site share the count of
	// a service's instances, and what a request excludes or allows by name. Weight is how many workers the site has; 0 stands for 1.
	Site   string
	Weight int
	Arch   string
	// Runtimes, Addons and VolumeDrivers are what it offers.
	Runtimes, Addons, VolumeDrivers []string
	// Unprivileged says that it takes no privileged instance.
	Unprivileged bool
	// Unavailable says in a person's words why nothing new may go there now; empty when it may.
	Unavailable string
	// Capacity is what the candidate has in all; Free what is not reserved. Free may be negative where a candidate shrank.
	Capacity, Free wire.Slot
	// Slots are what single workers of the candidate have free, if it is many: an instance has to fit in one of them and in Free. Nil if it is
	// one worker.
	Slots []wire.Slot
	// UsedPorts are host ports of the candidate's own processes; those of instances are reserved.
	UsedPorts wire.HostPorts
	// Where is the place of the candidate, as far as is known.
	Where wire.Point
}

// Sub returns a less b, amount by amount.
func Sub(a, b wire.Slot) wire.Slot {
	return wire.Slot{
		VCPUs:        a.VCPUs - b.VCPUs,
		MemoryMB:     a.MemoryMB - b.MemoryMB,
		StorageMB:    a.StorageMB - b.StorageMB,
		GPUs:         a.GPUs - b.GPUs,
		TPUs:         a.TPUs - b.TPUs,
		BandwidthIn:  a.BandwidthIn - b.BandwidthIn,
		BandwidthOut: a.BandwidthOut - b.BandwidthOut,
	}
}

// Add returns a and b together, amount by amount.
func Add(a, b wire.Slot) wire.Slot {
	return wire.Slot{
		VCPUs:        a.VCPUs + b.VCPUs,
		MemoryMB:     a.MemoryMB + b.MemoryMB,
		StorageMB:    a.StorageMB + b.StorageMB,
		GPUs:         a.GPUs + b.GPUs,
		TPUs:         a.TPUs + b.TPUs,
		BandwidthIn:  a.BandwidthIn + b.BandwidthIn,
		BandwidthOut: a.BandwidthOut + b.BandwidthOut,
	}
}

// Max returns the larger of a and b in each amount.
func Max(a, b wire.Slot) wire.Slot {
	return wire.Slot{
		VCPUs:        max(a.VCPUs, b.VCPUs),
		MemoryMB:     max(a.MemoryMB, b.MemoryMB),
		StorageMB:    max(a.StorageMB, b.StorageMB),
		GPUs:         max(a.GPUs, b.GPUs),
		TPUs:         max(a.TPUs, b.TPUs),
		BandwidthIn:  max(a.BandwidthIn, b.BandwidthIn),
		BandwidthOut: max(a.BandwidthOut, b.BandwidthOut),
	}
}

// Fits reports whether need is within free.
func Fits(need, free wire.Slot) bool { return lacking(&need, &free) == accepted }

// lacking returns the first amount of need that free does not cover. What is not needed may be overdrawn: an instance that asks for no
// processors is not kept from a worker that has given all of them away.
func lacking(need, free *wire.Slot) reason {
	switch {
	case need.VCPUs > free.VCPUs && need.VCPUs > 0:
		return lacksVCPUs
	case need.MemoryMB > free.MemoryMB && need.MemoryMB > 0:
		return lacksMemory
	case need.StorageMB > free.StorageMB && need.StorageMB > 0:
		return lacksStorage
	case need.GPUs > free.GPUs && need.GPUs > 0:
		return lacksGPUs
	case need.TPUs > free.TPUs && need.TPUs > 0:
		return lacksTPUs
	case need.BandwidthIn > free.BandwidthIn && need.BandwidthIn > 0:
		return lacksBandwidthIn
	case need.BandwidthOut > free.BandwidthOut && need.BandwidthOut > 0:
		return lacksBandwidthOut
	}
	return accepted
}

// Overdrawn reports whether more was given away than there was: an amount is below 0.
func Overdrawn(free wire.Slot) bool {
	return free.VCPUs < 0 || free.MemoryMB < 0 || free.StorageMB < 0 || free.GPUs < 0 || free.TPUs < 0 || free.BandwidthIn < 0 || free.BandwidthOut < 0
}
