// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"
	"strings"
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

// Bounds of the refusals that are kept of one instance.
const (
	maxRefusals   = 512
	maxRefusalWhy = 256 // bytes
)

// Refusal is a worker's word that it cannot take an instance.
type Refusal struct {
	Why string `json:"why"`
	// Until is how long the worker is not asked again.
	Until time.Time `json:"until"`
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
		i.refuse(c.Worker, Refusal{c.Report.Detail, now.Add(holds)})
	}
	return news
}

func (i *Instance) refuse(worker string, r Refusal) {
	if i.Refusals == nil {
		i.Refusals = map[string]Refusal{}
	}
	if len(r.Why) > maxRefusalWhy {
		r.Why = strings.ToValidUTF8(r.Why[:maxRefusalWhy], "") + "…"
	}
	i.Refusals[worker] = r
	for len(i.Refusals) > maxRefusals { // the one that holds no longer first
		first := ""
		for worker, r := range i.Refusals {
			if first == "" || r.Until.Before(i.Refusals[first].Until) {
				first = worker
			}
		}
		delete(i.Refusals, first)
	}
}

// refused returns the workers that have said of late that they cannot take the instance, and why.
func (i *Instance) refused(now time.Time) map[string]string {
	out := make(map[string]string, len(i.Refusals))
	for worker, r := range i.Refusals {
		if !now.Before(r.Until) {
			delete(i.Refusals, worker)
			continue
		}
		out[worker] = r.Why
	}
	return out
}

// Complete adds to decisions what is stored with them beside what was decided: who has refused an instance that goes to another worker now, so
// that the next life of the cluster orchestrator does not ask again.
func (l *Ledger) Complete(ch *Changes) {
	for key, i := range ch.Instances {
		if have := l.instances[key]; have != nil {
			i.Refusals = maps.Clone(have.Refusals)
			ch.Instances[key] = i
		}
	}
}
