// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"
)

// refusalHolds is how long a worker that could not take an instance is not asked again: what it lacked, such as a host port, may
// be there later.
const refusalHolds = 30 * time.Second

// refusal is a worker's word that it cannot take an instance.
type refusal struct {
	why string
	at  time.Time
}

// seeRefusal takes in whether a copy's worker can take it. It reports whether that is news.
func (l *Ledger) seeRefusal(c *Copy, elsewhere bool, now time.Time) (news bool) {
	news = c.elsewhere != elsewhere
	c.elsewhere = elsewhere
	if i := l.instances[c.InstanceKey]; i != nil && elsewhere {
		if i.refusals == nil {
			i.refusals = map[string]refusal{}
		}
		i.refusals[c.Worker] = refusal{c.Report.Detail, now}
	}
	return news
}

// refused returns the workers that have said of late that they cannot take the instance, and why.
func (i *Instance) refused(now time.Time) map[string]string {
	out := make(map[string]string, len(i.refusals))
	for worker, r := range i.refusals {
		if now.Sub(r.at) >= refusalHolds {
			delete(i.refusals, worker)
			continue
		}
		out[worker] = r.why
	}
	return out
}
