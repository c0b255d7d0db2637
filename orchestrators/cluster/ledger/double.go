// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Double is a copy that runs on a worker although another worker was given the same generation. Generations fence as long as none is given
// out twice, which happens when databases are restored one after the other, each from before what the last one gave. One of the two has to
// stop. Doubles are not stored: a worker that has heard nothing of one says again that it runs.
type Double struct {
	CopyID
	Worker string
}

// double is what is known of a [Double].
type double struct {
	claim wire.WorkerInstance
	// stop says that it is decided, and the worker is told.
	stop bool
}

// noteDouble keeps a double in mind until its worker says that it is gone. It reports whether that is news.
func (l *Ledger) noteDouble(worker string, claim wire.WorkerInstance) bool {
	id := CopyID{claim.InstanceKey, claim.Generation}
	of := l.doubles[worker]
	if of == nil {
		of = map[CopyID]double{}
		l.doubles[worker] = of
	}
	if _, known := of[id]; known || len(of) >= maxCopies {
		return false
	}
	of[id] = double{claim: claim}
	return true
}

// settleDoubles forgets the doubles of a worker that it has ended: those up to a generation that it says it has stopped.
func (l *Ledger) settleDoubles(worker string, key wire.InstanceKey, g wire.Generation) {
	maps.DeleteFunc(l.doubles[worker], func(id CopyID, _ double) bool { return id.InstanceKey == key && id.Generation.Compare(g) <= 0 })
}

// keepDoubles forgets the doubles of a worker that are none of what it has.
func (l *Ledger) keepDoubles(worker string, here map[CopyID]struct{}) {
	maps.DeleteFunc(l.doubles[worker], func(id CopyID, _ double) bool { _, ok := here[id]; return !ok })
}

// judgeDoubles decides which of two copies of one generation goes on. The one that is written down does, unless that was written in an
// earlier life and its worker, which has spoken since, does not run it: then what runs is written down instead, and nothing stops.
func (l *Ledger) judgeDoubles(ch *Changes) {
	for worker, of := range l.doubles {
		for id, d := range of {
			c := l.find(id.InstanceKey, id.Generation)
			switch {
			case d.stop:
			case c != nil && c.Worker == worker:
				delete(of, id)
			case c != nil && c.before && !c.Stop && d.claim.State == wire.StateRunning:
				if owner := l.workers[c.Worker]; owner == nil || !owner.settled {
					continue // it may run it too, and is about to say so
				}
				moved := *c
				moved.Worker, moved.Report = worker, d.claim.InstanceReport
				ch.Copies[id] = moved
			default:
				ch.Doubles[Double{id, worker}] = struct{}{}
			}
		}
	}
}

// stopDouble has a worker told to stop a double.
func (l *Ledger) stopDouble(at Double) {
	if d, ok := l.doubles[at.Worker][at.CopyID]; ok {
		d.stop = true
		l.doubles[at.Worker][at.CopyID] = d
	}
}

// doublesOf returns the tombstones of a worker's doubles, but of none that it was given since.
func (l *Ledger) doublesOf(worker string) (list []wire.Tombstone) {
	for id, d := range l.doubles[worker] {
		if c := l.find(id.InstanceKey, id.Generation); d.stop && (c == nil || c.Worker != worker) {
			list = append(list, wire.Tombstone{InstanceKey: id.InstanceKey, Generation: id.Generation})
		}
	}
	slices.SortFunc(list, func(a, b wire.Tombstone) int { return a.InstanceKey.Compare(b.InstanceKey) })
	return list
}
