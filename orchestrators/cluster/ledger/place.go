// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// place decides in one pass on a worker for every instance that needs one, and notes for the others why there is none.
func (l *Ledger) place(now time.Time, ch *Changes) {
	waiting, watched := l.waiting(now), l.watched(now)
	if len(waiting)+len(watched) == 0 {
		return
	}
	if !l.settled(now) {
		for _, i := range waiting {
			l.setStatus(i, wire.StateClusterScheduled, "waiting for workers to report what they run", now)
		}
		return
	}
	pool, near := l.pool(now), l.neighbours()
	// Those that have to be near to others come after these.
	slices.SortStableFunc(waiting, func(a, b *Instance) int { return cmp.Compare(len(a.Spec.Near), len(b.Spec.Near)) })
	for _, i := range waiting {
		req := l.request(i, near, now)
		old := l.replaced(i, now)
		p, why := l.choose(i, old, &req, pool)
		why.Tier, why.At = wire.TierCluster, now.UTC()
		if !p.Found() {
			l.undrain(i, ch)
			if l.triesOn(i, now) {
				i.status = wire.InstanceReport{} // its worker's words are the better ones
				continue
			}
			l.explain(i, &why, now)
			continue
		}
		if old != nil && !l.drain(i, old, now, ch) {
			continue
		}
		near.placed(i.ServiceID, p.ID)
		l.give(i, p.ID, &why, now, ch)
	}
	l.relocate(watched, pool, near, now, ch)
}

// give has a worker run an instance, as the next move of its placement.
func (l *Ledger) give(i *Instance, worker string, why *wire.Explanation, now time.Time, ch *Changes) {
	i.status = wire.InstanceReport{} // what was said before is over
	placed := *i
	placed.LastMove++
	placed.scheduling = why
	g := wire.Generation{Placement: i.Placement, Move: placed.LastMove}
	ch.Instances[i.InstanceKey] = placed
	ch.Copies[CopyID{i.InstanceKey, g}] = Copy{InstanceKey: i.InstanceKey, Generation: g, Worker: worker, Spec: i.Spec, entered: now,
		Report: wire.InstanceReport{InstanceKey: i.InstanceKey, Generation: g, State: wire.StateNodeScheduled,
			Detail: "given to worker " + l.workers[worker].Name, Since: now}}
	for _, c := range l.copies[i.InstanceKey] {
		if c.Worker == worker && !c.Stop { // the same worker replaces its own older copy
			stopped := *c
			stopped.Stop = true
			ch.Copies[CopyID{c.InstanceKey, c.Generation}] = stopped
		}
	}
}

// settled reports whether it is known what runs on all workers, or the grace period is over. Before, an instance whose rows were
// lost could be placed a second time.
func (l *Ledger) settled(now time.Time) bool {
	if now.Sub(l.options.Start) >= l.options.Grace {
		return true
	}
	for _, w := range l.workers {
		if !w.settled {
			return false
		}
	}
	return true
}

// explain notes why an instance has no place.
func (l *Ledger) explain(i *Instance, why *wire.Explanation, now time.Time) {
	state := wire.StateNoWorkerCapacity
	detail := "no worker can take it now; it is placed as soon as one can: " + why.String()
	switch {
	case why.Kind() == wire.RefusalUnavailable && now.Sub(l.options.Start) < l.options.Grace:
		state, detail = wire.StateClusterScheduled, "waiting for workers to report in"
	case len(l.workers) == 0:
		state, detail = wire.StateNoQualifiedWorker, "no worker has joined the cluster"
	case why.Kind() == wire.RefusalUnqualified:
		state, detail = wire.StateNoQualifiedWorker, "no worker is of the kind that the service asks for: "+why.String()
	}
	i.scheduling = why
	l.setStatus(i, state, detail, now)
}

func (l *Ledger) setStatus(i *Instance, state wire.State, detail string, now time.Time) {
	if i.status.State != state {
		i.status.Since = now
	}
	i.status.State, i.status.Detail = state, detail
}

// triesOn reports whether an instance that fails, and that no other worker can take, is tried on by the worker that has it.
func (l *Ledger) triesOn(i *Instance, now time.Time) bool {
	c := l.current(i.InstanceKey)
	if c == nil || c.Generation.Placement != i.Placement || c.Report.State != wire.StateFailed {
		return false
	}
	w := l.workers[c.Worker]
	return w != nil && !w.lost(now, l.options)
}

// reserves reports whether the copy holds what it needs: until it is gone, or has ended for good.
func (c *Copy) reserves() bool {
	return !c.gone && !c.over()
}
