// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// place decides on a worker for every instance that needs one, and notes for the others why there is none.
func (l *Ledger) place(now time.Time, ch *Changes) {
	waiting := l.waiting(now)
	if len(waiting) == 0 {
		return
	}
	if !l.settled(now) {
		for _, i := range waiting {
			l.setStatus(i, wire.StateClusterScheduled, "waiting for workers to report what they run", now)
		}
		return
	}
	candidates, onWorker := l.candidates(now)
	for _, i := range waiting {
		for n := range candidates {
			candidates[n].SameService = onWorker[candidates[n].ID][i.ServiceID]
		}
		req := scheduler.FromSpec(&i.Spec)
		req.Exclude = i.refused(now)
		old := l.replaced(i, now)
		p, why := l.choose(i, old, req, candidates)
		if !p.Found() {
			l.undrain(i, ch)
			if l.triesOn(i, now) {
				i.status = wire.InstanceReport{} // its worker's words are the better ones
				continue
			}
			l.explain(i, why, now)
			continue
		}
		if old != nil && !l.drain(i, old, now, ch) {
			continue
		}
		count(onWorker, p.ID, i.ServiceID)
		placed := *i
		placed.LastMove++
		g := wire.Generation{Placement: i.Placement, Move: placed.LastMove}
		ch.Instances[i.InstanceKey] = placed
		ch.Copies[CopyID{i.InstanceKey, g}] = Copy{InstanceKey: i.InstanceKey, Generation: g, Worker: p.ID, Spec: i.Spec, entered: now,
			Report: wire.InstanceReport{InstanceKey: i.InstanceKey, Generation: g, State: wire.StateNodeScheduled,
				Detail: "given to worker " + l.workers[p.ID].Name, Since: now}}
		for _, c := range l.copies[i.InstanceKey] {
			if c.Worker == p.ID && !c.Stop { // the same worker replaces its own older copy
				stopped := *c
				stopped.Stop = true
				ch.Copies[CopyID{c.InstanceKey, c.Generation}] = stopped
			}
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
func (l *Ledger) explain(i *Instance, why scheduler.Explanation, now time.Time) {
	state := wire.StateNoWorkerCapacity
	detail := "no worker can take it now; it is placed as soon as one can: " + why.String()
	switch {
	case why.Kind() == scheduler.Unavailable && now.Sub(l.options.Start) < l.options.Grace:
		state, detail = wire.StateClusterScheduled, "waiting for workers to report in"
	case len(l.workers) == 0:
		state, detail = wire.StateNoQualifiedWorker, "no worker has joined the cluster"
	case why.Kind() == scheduler.Unqualified:
		state, detail = wire.StateNoQualifiedWorker, "no worker is of the kind that the service asks for: "+why.String()
	}
	l.setStatus(i, state, detail, now)
}

func (l *Ledger) setStatus(i *Instance, state wire.State, detail string, now time.Time) {
	if i.status.State != state {
		i.status.Since = now
	}
	i.status.State, i.status.Detail = state, detail
}

// candidates returns all workers with what is reserved on them, and how many copies of each service each has.
func (l *Ledger) candidates(now time.Time) (all []scheduler.Candidate, onWorker map[string]map[string]int) {
	index := map[string]int{}
	for n, id := range sortedKeys(l.workers) {
		w := l.workers[id]
		index[id] = n
		all = append(all, scheduler.Candidate{ID: id, Name: w.Name, Arch: w.Info.Architecture, Runtimes: w.Info.Runtimes,
			Unavailable: w.unavailable(now, l.options), Capacity: w.Info.Capacity, Free: w.Info.Capacity, UsedPorts: w.Info.UsedPorts})
	}
	onWorker = map[string]map[string]int{}
	for _, list := range l.copies {
		for at, c := range list {
			n, ok := index[c.Worker]
			if !ok || !c.reserves() {
				continue
			}
			all[n].Reserve(holds(list, at))
			if !c.Stop {
				count(onWorker, c.Worker, c.ServiceID)
			}
		}
	}
	return all, onWorker
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

func count(m map[string]map[string]int, worker, service string) {
	if m[worker] == nil {
		m[worker] = map[string]int{}
	}
	m[worker][service]++
}
