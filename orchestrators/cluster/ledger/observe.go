// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/lifecycle"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Seen is what a worker's report of its instances was news for.
type Seen struct {
	// Changed are the copies whose state, detail or readiness has changed, to be stored when there is time.
	Changed []CopyID
	// Services are those of Changed.
	Services []string
	// Settled says that a copy with a tombstone is gone, that a worker cannot take one, or that all of a worker is known now, so
	// that there is something to decide.
	Settled bool
	// Refused counts what was no state of an instance, or none that may follow the one before.
	Refused int
	// Unclaimed are instances that run there although no copy is placed there.
	Unclaimed []wire.WorkerInstance
}

// SeeInstances takes in the states of a worker's instances.
func (l *Ledger) SeeInstances(id string, m wire.Instances, now time.Time) Seen {
	var seen Seen
	w := l.workers[id]
	if w == nil || m.Compare(w.instances) < 0 {
		return seen
	}
	w.instances = m.Stamp
	w.hear(now, l.options)
	services := map[string]struct{}{}
	told, here := map[CopyID]struct{}{}, map[CopyID]struct{}{}
	unknown := false
	for _, wi := range m.Instances {
		if !clean(&wi, now) {
			seen.Refused++
			continue
		}
		if wi.State == wire.StateUndeployed {
			seen.Settled = l.settleStopped(id, wi.InstanceKey, wi.Generation) || seen.Settled
			l.settleDoubles(id, wi.InstanceKey, wi.Generation)
			continue
		}
		here[CopyID{wi.InstanceKey, wi.Generation}] = struct{}{}
		c := l.find(wi.InstanceKey, wi.Generation)
		if c == nil || c.Worker != id {
			unknown = true
			if c != nil && wi.Unclaimed {
				seen.Settled = l.noteDouble(id, wi) || seen.Settled
			} else if wi.Spec != nil && wi.Unclaimed {
				seen.Unclaimed = append(seen.Unclaimed, wi)
			}
			continue
		}
		if !lifecycle.Possible(c.Report.State, wi.State) {
			seen.Refused++
			continue
		}
		if c.Report.State != wi.State {
			c.entered = now
		}
		if wi.State == wire.StateRunning || wi.State == wire.StateCompleted || wi.State == wire.StateDead {
			c.before = false
		}
		if wi.Ready == nil && wi.State == wire.StateRunning && c.Report.State == wi.State && c.Spec.Readiness != nil {
			wi.Ready = c.Report.Ready // its worker has just started and not asked it yet: nothing has changed
		}
		cid := CopyID{wi.InstanceKey, wi.Generation}
		told[cid] = struct{}{}
		if c.Report.State != wi.State || c.Report.Detail != wi.Detail || !equal(c.Report.Ready, wi.Ready) {
			seen.Changed = append(seen.Changed, cid)
			services[wi.ServiceID] = struct{}{}
		}
		c.Report = wi.InstanceReport
		seen.Settled = l.seeRefusal(c, wi.Elsewhere, now) || seen.Settled
		if c.Report.Since.IsZero() {
			c.Report.Since = now
		}
	}
	if m.Full && !w.desired.IsZero() && m.Applied.Compare(w.desired) >= 0 {
		seen.Settled = l.settleAbsent(w, told) || seen.Settled
		l.keepDoubles(id, here)
	}
	if !w.settled && ((m.Full && !unknown) || (!w.desired.IsZero() && m.Applied.Compare(w.desired) >= 0)) {
		w.settled, seen.Settled = true, true
	}
	seen.Services = slices.Sorted(maps.Keys(services))
	return seen
}

// settleStopped marks as gone each copy that a worker says it has stopped: that generation and all lower ones, as a tombstone means
// them. A copy without a tombstone stays: the worker has not been told yet to run it, so that this is a state of the past.
func (l *Ledger) settleStopped(worker string, key wire.InstanceKey, g wire.Generation) (settled bool) {
	for _, c := range l.copies[key] {
		if c.Worker == worker && c.Stop && !c.gone && c.Generation.Compare(g) <= 0 {
			c.gone, settled = true, true
		}
	}
	return settled
}

// NoteDesired notes the stamp under which a worker's desired state was published.
func (l *Ledger) NoteDesired(id string, s wire.Stamp) {
	if w := l.workers[id]; w != nil {
		w.desired = s
	}
}

// settleAbsent marks as gone each copy with a tombstone that the full list of a worker lacks which has applied the newest desired state: it
// has nothing of it.
func (l *Ledger) settleAbsent(w *Worker, told map[CopyID]struct{}) (settled bool) {
	for key := range l.index.byWorker[w.ID] {
		for _, c := range l.copies[key] {
			if _, ok := told[CopyID{c.InstanceKey, c.Generation}]; !ok && c.Worker == w.ID && c.Stop && !c.gone {
				c.gone, settled = true, true
			}
		}
	}
	return settled
}

// Adopt decides what becomes of instances that run on a worker although no copy is placed there, such as after rows were lost.
// Nothing is stopped: each becomes a copy of its own generation there. held are those that a person has to look at.
func (l *Ledger) Adopt(worker string, unclaimed []wire.WorkerInstance) (ch Changes, held []wire.InstanceReport) {
	ch = newChanges()
	room := maxCopies
	for key := range l.index.byWorker[worker] {
		for _, c := range l.copies[key] {
			if c.Worker == worker {
				room--
			}
		}
	}
	for _, wi := range unclaimed {
		if len(ch.Copies) >= room {
			held = append(held, wi.InstanceReport)
			continue
		}
		if wi.Spec == nil || l.find(wi.InstanceKey, wi.Generation) != nil {
			continue
		}
		c := Copy{InstanceKey: wi.InstanceKey, Generation: wi.Generation, Worker: worker, Spec: *wi.Spec, Report: wi.InstanceReport}
		instance := l.instances[wi.InstanceKey]
		removal := l.removals[wi.InstanceKey]
		switch {
		case removal != nil && removal.Placement >= wi.Generation.Placement:
			c.Stop = true
			ch.Removals[wi.InstanceKey] = Removal{InstanceKey: wi.InstanceKey, Placement: removal.Placement}
		case instance == nil:
			ch.Instances[wi.InstanceKey] = Instance{InstanceKey: wi.InstanceKey, Placement: wi.Generation.Placement, Spec: *wi.Spec,
				LastMove: wi.Generation.Move}
		case wi.Generation.Placement > instance.Placement || l.fencesLive(worker, wi.Generation, wi.InstanceKey):
			held = append(held, wi.InstanceReport)
			continue
		case wi.Generation.Placement == instance.Placement:
			c.Spec = instance.Spec // what root has said counts, not what the worker says
			if wi.Generation.Move > instance.LastMove {
				raised := *instance
				raised.LastMove = wi.Generation.Move
				ch.Instances[wi.InstanceKey] = raised
			}
		}
		ch.Copies[CopyID{wi.InstanceKey, wi.Generation}] = c
	}
	return ch, held
}

// fencesLive reports whether adopting the generation would take the place of a copy that runs elsewhere, or that a worker which
// is there was given: no worker may take an instance over by saying that it has a higher generation.
func (l *Ledger) fencesLive(worker string, g wire.Generation, key wire.InstanceKey) bool {
	c := l.current(key)
	if c == nil || c.Worker == worker || g.Compare(c.Generation) <= 0 {
		return false
	}
	w := l.workers[c.Worker]
	return c.Report.State == wire.StateRunning || w != nil && w.settled && w.goneSince.IsZero()
}

func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

func (l *Ledger) keys() []wire.InstanceKey {
	return slices.SortedFunc(maps.Keys(l.copies), wire.InstanceKey.Compare)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
