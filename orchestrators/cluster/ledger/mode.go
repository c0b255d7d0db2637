// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// Mode returns what the worker is to be used for.
func (w *Worker) Mode() wire.WorkerMode {
	if w.Order.Mode == "" {
		return wire.WorkerOpen
	}
	return w.Order.Mode
}

// closed says in a person's words why the worker is to take nothing new, or returns "".
func (w *Worker) closed() string {
	reason := ""
	if w.Order.Reason != "" {
		reason = ": " + w.Order.Reason
	}
	switch w.Mode() {
	case wire.WorkerCordoned:
		return "is cordoned" + reason
	case wire.WorkerDrained:
		return "is drained" + reason
	}
	return ""
}

// Restore sets the mode that was stored for a worker.
func (l *Ledger) Restore(o wire.WorkerOrder) {
	if w := l.workers[o.WorkerID]; w != nil {
		w.Order = o
	}
}

// takeOrders decides which of root's orders are new here: those with a higher stamp than the last that was taken.
func (l *Ledger) takeOrders(orders []wire.WorkerOrder, ch *Changes) {
	for _, o := range orders {
		w := l.workers[o.WorkerID]
		if w == nil || !o.Mode.Valid() || !o.Stamp.After(w.Order.Stamp) {
			continue
		}
		if have, ok := ch.Orders[o.WorkerID]; !ok || o.Stamp.After(have.Stamp) {
			ch.Orders[o.WorkerID] = o
		}
	}
}

// SetMode decides what a worker is to be used for by the cluster's own word. A later order of root's replaces it, an earlier one does not.
// It reports whether there is such a worker.
func (l *Ledger) SetMode(id string, mode wire.WorkerMode, reason string) (Changes, bool) {
	ch := newChanges()
	w := l.workers[id]
	if w == nil {
		return ch, false
	}
	ch.Orders[id] = wire.WorkerOrder{WorkerID: id, Stamp: w.Order.Stamp, Mode: mode, Reason: reason}
	return ch, true
}

// leaving reports whether a copy is to go to another worker because its own is drained, although it can stay until it serves there.
// One-shots end where they are: to run one twice is worse than to wait for it.
func (l *Ledger) leaving(c *Copy) bool {
	w := l.workers[c.Worker]
	return w != nil && w.Mode() == wire.WorkerDrained && !c.Spec.OneShot && !c.over()
}

// stayingReport is what root is told of an instance whose worker is drained, while the copy there runs on: not that it cannot be had
// elsewhere yet, for which root would take it away, nor how far the new one is.
func (l *Ledger) stayingReport(i *Instance, current *Copy, now time.Time) (r wire.InstanceReport, ok bool) {
	if current == nil || current.Generation.Placement != i.Placement || current.serves() && !l.leaving(current) {
		return r, false
	}
	for _, c := range l.copies[i.InstanceKey] {
		if c.Stop || c.Generation.Placement != i.Placement || !c.serves() || c.elsewhere || !l.leaving(c) || l.lostOn(c, now) {
			continue
		}
		r = c.Report
		r.InstanceKey, r.Generation = c.InstanceKey, c.Generation
		switch {
		case c != current:
			r.Detail = "its worker is drained, and keeps it until it runs on worker " + l.workerName(current.Worker) + ": " +
				cmp.Or(current.Report.Detail, string(current.Report.State))
		case i.status.Detail != "":
			r.Detail = "its worker is drained, and keeps it until another can take it: " + i.status.Detail
			r.Leaving = i.Wanted
		}
		return r, true
	}
	return r, false
}

// excluded returns the workers that an instance must not go to, and why: those that could not take it of late, and, when its newest copy
// leaves a drained worker, those on which an older one serves. That one would be stopped for the new one, before it runs.
func (l *Ledger) excluded(i *Instance, now time.Time) map[string]string {
	out := i.refused(now)
	if c := l.current(i.InstanceKey); c == nil || c.Generation.Placement != i.Placement || !l.leaving(c) {
		return out
	}
	for _, c := range l.copies[i.InstanceKey] {
		if !c.Stop && c.serves() && c.Generation.Placement == i.Placement {
			out[c.Worker] = "has a copy that serves until the new one does"
		}
	}
	return out
}

// View returns what the cluster tells of a worker. Its place is the caller's to add.
func (l *Ledger) View(id string, now time.Time) (v wire.WorkerView, ok bool) {
	w := l.workers[id]
	if w == nil {
		return v, false
	}
	status, reason := l.Status(id, now)
	v = wire.WorkerView{ID: id, Name: w.Name, Status: status, Reason: reason, Mode: w.Mode(), ModeReason: w.Order.Reason,
		Engine: w.Engine.Present, Net: w.Net.Present, LastSeen: w.lastSeen, Subnets: w.Subnets, Architecture: w.Info.Architecture,
		Runtimes: w.Info.Runtimes, Capacity: w.Info.Capacity, Free: w.Info.Capacity, CPUPercent: w.Info.CPUPercent,
		MemoryPercent: w.Info.MemoryPercent, DiskPercent: w.Info.DiskPercent, Version: w.Info.Version}
	for _, key := range l.keysOn(id) {
		for _, c := range l.copies[key] {
			switch {
			case c.Worker != id || c.gone || c.over():
				continue
			case c.Stop || l.leaving(c):
				v.Leaving++
			default:
				v.Instances++
			}
			need := scheduler.NeedOf(&c.Spec)
			v.Free = scheduler.Sub(v.Free, need)
		}
	}
	v.Free = notNegative(v.Free)
	return v, true
}
