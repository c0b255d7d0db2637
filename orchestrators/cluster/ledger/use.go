// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Loads returns how little each copy can take on, 0 to 1: its processor use over its limit, or over one processor if it has none, or its
// worker's use over all that the worker has, whichever is more. Copies of which nothing is known are left out.
func (l *Ledger) Loads(now time.Time) map[CopyID]float64 {
	out := make(map[CopyID]float64, len(l.copies))
	for key, copies := range l.copies {
		for _, c := range copies {
			if load, ok := l.load(c, now); ok {
				out[CopyID{key, c.Generation}] = load
			}
		}
	}
	return out
}

// LoadOf is the same of one copy.
func (l *Ledger) LoadOf(id CopyID, now time.Time) (load float64, ok bool) {
	c := l.find(id.InstanceKey, id.Generation)
	if c == nil {
		return 0, false
	}
	return l.load(c, now)
}

// load takes a worker by its last word until it is lost: one that is merely restarted is as busy as before.
func (l *Ledger) load(c *Copy, now time.Time) (load float64, ok bool) {
	w := l.workers[c.Worker]
	if w == nil || w.Info.IsZero() || w.lost(now, l.options) {
		return 0, false
	}
	own := 0.0
	if c.Report.State == wire.StateRunning {
		own = c.Report.CPUPercent / 100 / float64(max(c.Spec.VCPUs, 1))
	}
	return min(max(own, w.Info.CPUPercent/100), 1), true
}
