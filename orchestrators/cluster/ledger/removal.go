// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// removed reports whether a copy is to stop by a removal and goes on for a moment, without new flows.
func (l *Ledger) removed(c *Copy, r *Removal) bool {
	return r != nil && !r.Done && !c.Stop && c.Generation.Placement <= r.Placement
}

// stopRemoved stops the copies of the removals that are new in ch: at once, or, where somebody calls the service and others of it take the new
// flows, only once callers have heard of it. What is removed together, such as a whole service, is not waited for.
func (l *Ledger) stopRemoved(ch *Changes, called map[string]bool, now time.Time) {
	for key, r := range ch.Removals {
		if have := l.removals[key]; have != nil && have.Placement >= r.Placement {
			continue
		}
		if l.options.Drain > 0 && called[key.ServiceID] && l.servesRemoved(&r) && l.othersServe(key, ch) {
			r.until = now.Add(l.options.Drain)
			ch.Removals[key] = r
			continue
		}
		l.stopCopies(&r, ch)
	}
}

// stopCopies gives a tombstone to all copies of a removal.
func (l *Ledger) stopCopies(r *Removal, ch *Changes) {
	for _, c := range l.copies[r.InstanceKey] {
		if l.removed(c, r) {
			stopped := *c
			stopped.Stop = true
			ch.Copies[CopyID{c.InstanceKey, c.Generation}] = stopped
		}
	}
}

func (l *Ledger) servesRemoved(r *Removal) bool {
	for _, c := range l.copies[r.InstanceKey] {
		if l.removed(c, r) && c.serves() {
			return true
		}
	}
	return false
}

// othersServe reports whether another instance of the service serves that is not to stop too.
func (l *Ledger) othersServe(key wire.InstanceKey, ch *Changes) bool {
	for other := range l.index.byService[key.ServiceID] {
		if other == key {
			continue
		}
		removal := l.removals[other]
		if r, ok := ch.Removals[other]; ok {
			removal = &r
		}
		for _, c := range l.copies[other] {
			if !c.Stop && c.serves() && !l.removed(c, removal) {
				return true
			}
		}
	}
	return false
}
