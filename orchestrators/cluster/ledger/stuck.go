// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/lifecycle"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// over reports whether the copy has ended for good: nothing of it runs, or will.
func (c *Copy) over() bool {
	r, ok := lifecycle.RuleOf(c.Report.State)
	return ok && r.Final()
}

// giveUpOnStuck takes copies that their worker, although it is there, has not brought on in time for ones that it cannot take. Time counts
// by this process's own clock, and only while the worker is there.
func (l *Ledger) giveUpOnStuck(now time.Time) {
	for key, i := range l.instances {
		c := l.current(key)
		if c == nil || c.elsewhere || c.Generation.Placement != i.Placement {
			continue
		}
		why := ""
		switch c.Report.State {
		case wire.StateNodeScheduled:
			why = fmt.Sprintf("has not begun with it within %s", lifecycle.TakeWithin)
		case wire.StateCreating, wire.StateCreated:
			why = fmt.Sprintf("has not brought it up within %s", lifecycle.CreateWithin)
		default:
			continue
		}
		w := l.workers[c.Worker]
		if w == nil || w.unheard(now, l.options) {
			continue
		}
		since := w.here
		if c.entered.After(since) {
			since = c.entered
		}
		if rule, _ := lifecycle.RuleOf(c.Report.State); now.Sub(since) > rule.Within {
			c.elsewhere = true
			i.refuse(c.Worker, Refusal{Why: why, Until: now.Add(refusalHolds)})
		}
	}
}

// unheard reports whether the worker is away, or was not heard of since this process started.
func (w *Worker) unheard(now time.Time, o Options) bool {
	_, gone := w.goneAt(now, o)
	return gone || !w.heardEngine
}
