// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Double is a copy that runs on a worker although another worker was given the same generation. Generations fence as long as none is given
// out twice, which happens when databases are restored one after the other, each from before what the last one gave. The worker is told to
// stop it; the copy that is written down is not touched. Doubles are not stored: a worker that was not told says again what it runs.
type Double struct {
	CopyID
	Worker string
}

// noteDouble keeps a double in mind until its worker says that it is gone.
func (l *Ledger) noteDouble(d Double) {
	of := l.doubles[d.Worker]
	if of == nil {
		of = map[CopyID]struct{}{}
		l.doubles[d.Worker] = of
	}
	if len(of) < maxCopies {
		of[d.CopyID] = struct{}{}
	}
}

// settleDoubles forgets the doubles of a worker that it has ended: those up to a generation that it says it has stopped.
func (l *Ledger) settleDoubles(worker string, key wire.InstanceKey, g wire.Generation) {
	maps.DeleteFunc(l.doubles[worker], func(id CopyID, _ struct{}) bool { return id.InstanceKey == key && id.Generation.Compare(g) <= 0 })
}

// keepDoubles forgets the doubles of a worker that are none of what it has.
func (l *Ledger) keepDoubles(worker string, here map[CopyID]struct{}) {
	maps.DeleteFunc(l.doubles[worker], func(id CopyID, _ struct{}) bool { _, ok := here[id]; return !ok })
}

// doublesOf returns the tombstones of a worker's doubles, but of none that it was given since.
func (l *Ledger) doublesOf(worker string) (list []wire.Tombstone) {
	for id := range l.doubles[worker] {
		if c := l.find(id.InstanceKey, id.Generation); c == nil || c.Worker != worker {
			list = append(list, wire.Tombstone{InstanceKey: id.InstanceKey, Generation: id.Generation})
		}
	}
	slices.SortFunc(list, func(a, b wire.Tombstone) int { return a.InstanceKey.Compare(b.InstanceKey) })
	return list
}
