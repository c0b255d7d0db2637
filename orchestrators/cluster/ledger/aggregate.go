// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"hash/maphash"
	"maps"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/vivaldi"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// maxOffers bounds the add-ons, and the volume drivers, that root hears of.
const maxOffers = 64

// Aggregate sums the workers that can take something now. The caller adds what is the cluster's own.
func (l *Ledger) Aggregate(now time.Time) wire.Aggregate {
	type name struct{ arch, runtime string }
	groups := map[name]*wire.AggregateGroup{}
	a := wire.Aggregate{Groups: []wire.AggregateGroup{}}
	pool := l.pool(now)
	workers := 0
	addons, drivers := map[string]struct{}{}, map[string]struct{}{}
	offers := make(map[string]offer, pool.Len())
	var coordinates []wire.Coordinate
	var places []wire.Location
	for _, id := range pool.IDs() {
		c, _ := pool.Candidate(id)
		if c.Unavailable != "" {
			continue
		}
		workers++
		info := &l.workers[c.ID].Info
		a.CPUPercent += info.CPUPercent
		a.MemoryPercent += info.MemoryPercent
		if c.Where.Coordinate != nil {
			coordinates = append(coordinates, *c.Where.Coordinate)
		}
		if info.Location != nil {
			places = append(places, *info.Location)
		}
		for _, s := range c.Addons {
			addons[s] = struct{}{}
		}
		for _, s := range c.VolumeDrivers {
			drivers[s] = struct{}{}
		}
		free := notNegative(c.Free)
		offers[id] = offer{free, l.kinds(&c, info.Location)}
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
			g.Slots = scheduler.AddSlot(g.Slots, free)
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
	a.Addons, a.VolumeDrivers = firstOf(addons), firstOf(drivers)
	a.Where = l.around(places)
	if mean, spread, ok := vivaldi.Mean(coordinates); ok {
		a.Where.Coordinate, a.Where.SpreadMS = &mean, spread
	}
	a.Gains = l.gained(offers)
	return a
}

// around returns a place that all of the cluster's workers are in: the cluster's own, made large enough for those that say where they are, or
// else one made of these alone.
func (l *Ledger) around(places []wire.Location) wire.Point {
	p := wire.Point{Location: l.options.Where.Location, RadiusKM: l.options.Where.RadiusKM}
	if p.Location == nil && len(places) > 0 {
		p.Location = &places[0]
	}
	for _, at := range places {
		p.RadiusKM = max(p.RadiusKM, geo.Distance(*p.Location, at))
	}
	return p
}

// offer is what a worker has to offer, as far as that decides what can be placed on it.
type offer struct {
	free  wire.Slot
	kinds uint64
}

// kinds is a hash of all that a worker is, beside its amounts.
func (l *Ledger) kinds(c *scheduler.Candidate, at *wire.Location) uint64 {
	var h maphash.Hash
	h.SetSeed(l.seed)
	for _, list := range [][]string{{c.Arch}, c.Runtimes, c.Addons, c.VolumeDrivers} {
		for _, s := range list {
			_, _ = h.WriteString(s) // it cannot fail
			_ = h.WriteByte(0)
		}
		_ = h.WriteByte(1)
	}
	for _, list := range [][]uint16{c.UsedPorts.TCP, c.UsedPorts.UDP} {
		for _, n := range list {
			_, _ = h.Write([]byte{byte(n), byte(n >> 8)})
		}
		_ = h.WriteByte(1)
	}
	if at != nil {
		maphash.WriteComparable(&h, *at)
	}
	return h.Sum64()
}

// gained counts on if any worker offers more, or something else, than when it was asked last: what had no place may have one now.
func (l *Ledger) gained(offers map[string]offer) uint64 {
	for id, now := range offers {
		before, known := l.offers[id]
		if !known || now.kinds != before.kinds || scheduler.Max(now.free, before.free) != before.free {
			l.gains++
			break
		}
	}
	l.offers = offers
	return l.gains
}

func firstOf(set map[string]struct{}) []string {
	all := slices.Sorted(maps.Keys(set))
	return all[:min(len(all), maxOffers)]
}

// larger orders slots of single workers: by processors, then memory, storage and GPUs.
func larger(a, b wire.Slot) bool {
	return cmp.Or(cmp.Compare(a.VCPUs, b.VCPUs), cmp.Compare(a.MemoryMB, b.MemoryMB),
		cmp.Compare(a.StorageMB, b.StorageMB), cmp.Compare(a.GPUs, b.GPUs)) > 0
}

func notNegative(s wire.Slot) wire.Slot { return scheduler.Max(s, wire.Slot{}) }
