// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// DefaultDrain is how long a copy that is about to be replaced gets no new flows before it stops, unless configured: long enough for every
// worker to hear of it and for short requests to be answered.
const DefaultDrain = 3 * time.Second

// serves reports whether the copy takes new flows.
func (c *Copy) serves() bool {
	return c.Report.State == wire.StateRunning && (c.Report.Ready == nil || *c.Report.Ready)
}

// replaced returns the copy that root wants replaced by one of a higher placement: it runs, and its worker is there. Nil if there is none.
func (l *Ledger) replaced(i *Instance, now time.Time) *Copy {
	c := l.current(i.InstanceKey)
	if c == nil || c.Generation.Placement >= i.Placement || c.gone || c.elsewhere || c.over() {
		return nil
	}
	if w := l.workers[c.Worker]; w == nil || w.unavailable(now, l.options) != "" {
		return nil
	}
	return c
}

// alone reports whether nothing else serves of the instance's service: to stop it first would be an outage.
func (l *Ledger) alone(key wire.InstanceKey) bool {
	for other := range l.index.byService[key.ServiceID] {
		if other == key {
			continue
		}
		for _, c := range l.copies[other] {
			if !c.Stop && c.serves() && !l.removed(c, l.removals[other]) {
				return false
			}
		}
	}
	return true
}

// drain reports whether the copy that is to be replaced has been without new flows for long enough, and begins that. The flows that it
// has stay. One that serves nobody is not waited for, nor one that is alone: that would only make its absence longer.
func (l *Ledger) drain(i *Instance, old *Copy, now time.Time, ch *Changes) bool {
	switch {
	case l.options.Drain == 0 || !old.serves() || i.draining.IsZero() && l.alone(i.InstanceKey):
		return true
	case i.draining.IsZero():
		i.draining = now
		ch.Instances[i.InstanceKey] = *i // has its routes told anew
	}
	l.setStatus(i, wire.StateClusterScheduled, "the older one gets no new flows and is about to stop", now)
	return now.Sub(i.draining) >= l.options.Drain
}

// undrain gives new flows again to a copy for whose successor there is no place after all.
func (l *Ledger) undrain(i *Instance, ch *Changes) {
	if !i.draining.IsZero() {
		i.draining = time.Time{}
		ch.Instances[i.InstanceKey] = *i
	}
}

// Draining reports whether a copy gets no new flows since it is about to be replaced, or to stop.
func (l *Ledger) Draining(c *Copy) bool {
	if l.removed(c, l.removals[c.InstanceKey]) {
		return true
	}
	i := l.instances[c.InstanceKey]
	return i != nil && !i.draining.IsZero() && c.Generation.Placement < i.Placement
}

// choose finds a worker for an instance and reserves there what it needs. One that replaces an older copy goes to the worker that has that
// one, which stops it first, so that what it holds is free for the newer. Only where nothing else serves is another worker looked for
// before, on which the newer can run beside the older until it is ready.
func (l *Ledger) choose(i *Instance, old *Copy, req *scheduler.Request, pool *scheduler.Pool) (scheduler.Placement, wire.Explanation) {
	if old == nil {
		return pool.PlaceAndReserve(req, l.options.Strategy)
	}
	if old.serves() && l.alone(i.InstanceKey) {
		beside := *req
		beside.Exclude = map[string]string{old.Worker: "has the copy that is to be replaced"}
		maps.Copy(beside.Exclude, req.Exclude)
		if p, why := pool.Place(&beside, l.options.Strategy); p.Found() {
			pool.Reserve(p.ID, req)
			return p, why
		}
	}
	list := l.copies[i.InstanceKey]
	held := holds(list, slices.Index(list, old))
	pool.Release(old.Worker, &held)
	if p, why := pool.PlaceOn(old.Worker, req); p.Found() {
		// Until the older one is gone its worker has to bear the larger of the two.
		both := *req
		both.Need = scheduler.Max(req.Need, held.Need)
		pool.Reserve(old.Worker, &both)
		why.Notes = append(why.Notes, "takes the place of the older copy there")
		return p, why
	}
	pool.Reserve(old.Worker, &held)
	return pool.PlaceAndReserve(req, l.options.Strategy)
}

// holds is what copy n of an instance's holds of its worker: what it needs, or, where a newer copy follows it on the same worker, only
// started once it has stopped, by how much that is more.
func holds(list []*Copy, n int) scheduler.Request {
	req := scheduler.FromSpec(list[n].ServiceID, &list[n].Spec)
	for _, newer := range list[n+1:] {
		if newer.Worker == list[n].Worker && newer.reserves() {
			req.Need = notNegative(scheduler.Sub(req.Need, scheduler.NeedOf(&newer.Spec)))
		}
	}
	return req
}
