// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// refusalHolds is how long a worker that could not take an instance is not asked again: what it lacked, such as a host port, may
// be there later. failureHolds is how long one is not on which the instance itself has failed again and again: within that time no
// worker fails with it twice.
const (
	refusalHolds = 30 * time.Second
	failureHolds = time.Hour
)

// refusal is a worker's word that it cannot take an instance.
type refusal struct {
	why   string
	until time.Time
}

// seeRefusal takes in whether a copy's worker can take it. It reports whether that is news.
func (l *Ledger) seeRefusal(c *Copy, elsewhere bool, now time.Time) (news bool) {
	news = c.elsewhere != elsewhere
	c.elsewhere = elsewhere
	if i := l.instances[c.InstanceKey]; i != nil && elsewhere {
		holds := refusalHolds
		if c.Report.State == wire.StateFailed {
			holds = failureHolds
		}
		i.refuse(c.Worker, refusal{c.Report.Detail, now.Add(holds)})
	}
	return news
}

func (i *Instance) refuse(worker string, r refusal) {
	if i.refusals == nil {
		i.refusals = map[string]refusal{}
	}
	i.refusals[worker] = r
}

// refused returns the workers that have said of late that they cannot take the instance, and why.
func (i *Instance) refused(now time.Time) map[string]string {
	out := make(map[string]string, len(i.refusals))
	for worker, r := range i.refusals {
		if !now.Before(r.until) {
			delete(i.refusals, worker)
			continue
		}
		out[worker] = r.why
	}
	return out
}
