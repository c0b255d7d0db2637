// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Reconcile decides all that follows from what is wanted and seen now: copies that are gone are forgotten, removals of which
// nothing is left are done, older copies stop once a newer one runs, and what has no place gets one.
func (l *Ledger) Reconcile(now time.Time) Changes {
	ch := newChanges()
	l.judgeDoubles(&ch)
	for _, list := range l.copies {
		for _, c := range list {
			if c.Stop && c.gone {
				ch.DropCopies[CopyID{c.InstanceKey, c.Generation}] = struct{}{}
			}
		}
	}
	for _, r := range l.removals {
		if !r.Done && !now.Before(r.until) {
			l.stopCopies(r, &ch)
		}
	}
	for key, r := range l.removals {
		if !r.Done && !l.leftOf(r, now) {
			done := *r
			done.Done = true
			ch.Removals[key] = done
		}
	}
	for _, list := range l.copies {
		l.stopOlder(list, now, &ch)
	}
	l.giveUpOnStuck(now)
	l.place(now, &ch)
	return ch
}

// leftOf reports whether a worker still has to stop something of a removal. A lost worker is not waited for: its tombstone
// stays until it is back.
func (l *Ledger) leftOf(r *Removal, now time.Time) bool {
	return slices.ContainsFunc(l.copies[r.InstanceKey], func(c *Copy) bool {
		w := l.workers[c.Worker]
		return c.Generation.Placement <= r.Placement && !c.gone && w != nil && !w.lost(now, l.options)
	})
}

// stopOlder gives a tombstone to every copy that a higher generation replaces: once that runs, is ready, and its worker is there, and
// the older one's worker is there too to hear of it. One that its worker could not take is not waited for: it does not run.
func (l *Ledger) stopOlder(list []*Copy, now time.Time, ch *Changes) {
	here := func(id string) bool {
		w := l.workers[id]
		if w == nil {
			return false
		}
		_, gone := w.goneAt(now, l.options)
		return !gone && w.heardEngine
	}
	top := list[len(list)-1]
	if top.Stop {
		return
	}
	runs := top.serves() && here(top.Worker)
	for _, c := range list[:len(list)-1] {
		if !c.Stop && (runs || c.elsewhere) && here(c.Worker) {
			stopped := *c
			stopped.Stop = true
			ch.Copies[CopyID{c.InstanceKey, c.Generation}] = stopped
		}
	}
}

// needsPlace reports whether an instance has no copy of its present placement on a worker that is there and can take it.
func (l *Ledger) needsPlace(i *Instance, now time.Time) bool {
	if !i.Wanted {
		return false
	}
	c := l.current(i.InstanceKey)
	if c == nil || c.Generation.Placement != i.Placement {
		return true
	}
	w := l.workers[c.Worker]
	return !c.over() && (c.elsewhere || w == nil || w.lost(now, l.options) || l.leaving(c))
}

// lostOn reports whether the copy's worker is lost, or unknown.
func (l *Ledger) lostOn(c *Copy, now time.Time) bool {
	w := l.workers[c.Worker]
	return w == nil || w.lost(now, l.options)
}

// waiting returns the instances that need a place, in order.
func (l *Ledger) waiting(now time.Time) []*Instance {
	var all []*Instance
	for _, key := range slices.SortedFunc(maps.Keys(l.instances), wire.InstanceKey.Compare) {
		if i := l.instances[key]; l.needsPlace(i, now) {
			all = append(all, i)
		}
	}
	return all
}
