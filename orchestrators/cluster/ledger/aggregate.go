// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// Aggregate sums the workers that can take something now. The caller adds what is the cluster's own.
func (l *Ledger) Aggregate(now time.Time) wire.Aggregate {
	type name struct{ arch, runtime string }
	groups := map[name]*wire.AggregateGroup{}
	a := wire.Aggregate{Groups: []wire.AggregateGroup{}}
	candidates, _ := l.candidates(now)
	workers := 0
	for _, c := range candidates {
		if c.Unavailable != "" {
			continue
		}
		workers++
		info := &l.workers[c.ID].Info
		a.CPUPercent += info.CPUPercent
		a.MemoryPercent += info.MemoryPercent
		free := notNegative(c.Free)
		for _, runtime := range info.Runtimes {
			g := groups[name{c.Arch, runtime}]
			if g == nil {
				g = &wire.AggregateGroup{Architecture: c.Arch, Runtime: runtime}
				groups[name{c.Arch, runtime}] = g
			}
			g.Workers++
			g.Capacity = scheduler.Add(g.Capacity, c.Capacity)
			g.Free = scheduler.Add(g.Free, free)
			if larger(free, g.Largest) {
				g.Largest = free
			}
		}
	}
	if workers > 0 {
		a.CPUPercent /= float64(workers)
		a.MemoryPercent /= float64(workers)
	}
	for _, g := range groups {
		a.Groups = append(a.Groups, *g)
	}
	slices.SortFunc(a.Groups, func(a, b wire.AggregateGroup) int {
		return cmp.Or(cmp.Compare(a.Architecture, b.Architecture), cmp.Compare(a.Runtime, b.Runtime))
	})
	return a
}

// larger orders slots of single workers: by processors, then memory, storage and GPUs.
func larger(a, b wire.Slot) bool {
	return cmp.Or(cmp.Compare(a.VCPUs, b.VCPUs), cmp.Compare(a.MemoryMB, b.MemoryMB),
		cmp.Compare(a.StorageMB, b.StorageMB), cmp.Compare(a.GPUs, b.GPUs)) > 0
}

func notNegative(s wire.Slot) wire.Slot {
	return wire.Slot{VCPUs: max(s.VCPUs, 0), MemoryMB: max(s.MemoryMB, 0), StorageMB: max(s.StorageMB, 0), GPUs: max(s.GPUs, 0)}
}
