// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"math"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Locate says where this worker is, nil if that is not known. Of instances elsewhere it follows how far they are.
func (t *Table) Locate(here *wire.Location) {
	t.mu.Lock()
	defer t.unlock()
	if t.here == here || t.here != nil && here != nil && *t.here == *here {
		return
	}
	t.here = here
	for _, s := range t.services {
		t.programAndLog(s, "this worker is elsewhere")
	}
}

// distance is how far two places are apart, in kilometres.
func distance(a, b *wire.Location) uint16 {
	if a == nil || b == nil || !geo.Valid(*a) || !geo.Valid(*b) {
		return bpf.DistanceUnknown
	}
	return uint16(math.Round(geo.Distance(*a, *b))) // no two places on the earth are so far apart that this overflows
}

// load is what an instance reports, as the programs count it.
func load(reported *float64) uint16 {
	if reported == nil {
		return bpf.LoadUnknown
	}
	return uint16(math.Round(min(max(*reported, 0), 1) * float64(bpf.LoadFull)))
}
