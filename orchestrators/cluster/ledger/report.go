// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Report is one line of what root is told, under a name that stays the same while it is about the same thing.
type Report struct {
	Name string
	wire.InstanceReport
}

// Reports returns all that root is to know of instances: removals first, so that the line of a newer placement of the same
// instance comes last.
func (l *Ledger) Reports(now time.Time) []Report {
	var all []Report
	for _, key := range slices.SortedFunc(maps.Keys(l.removals), wire.InstanceKey.Compare) {
		all = append(all, Report{Name: "removal " + key.String(), InstanceReport: l.removalReport(l.removals[key], now)})
	}
	for _, key := range slices.SortedFunc(maps.Keys(l.instances), wire.InstanceKey.Compare) {
		all = append(all, Report{Name: "instance " + key.String(), InstanceReport: l.instanceReport(l.instances[key], now)})
	}
	return all
}

func (l *Ledger) instanceReport(i *Instance, now time.Time) wire.InstanceReport {
	c := l.current(i.InstanceKey)
	if r, ok := l.stayingReport(i, c, now); ok {
		return r
	}
	if c != nil && c.Generation.Placement <= i.Placement && (!l.needsPlace(i, now) || i.status.State == "") {
		r := c.Report
		r.InstanceKey, r.Generation, r.Scheduling = c.InstanceKey, c.Generation, i.scheduling
		if c.Generation.Placement == i.Placement {
			return r
		}
	}
	r := i.status
	r.InstanceKey, r.Scheduling = i.InstanceKey, i.scheduling
	r.Generation = wire.Generation{Placement: i.Placement, Move: i.LastMove}
	if r.State == "" {
		r.State, r.Detail = wire.StateClusterScheduled, "the cluster is choosing a worker"
	}
	if r.Since.IsZero() {
		r.Since = now
	}
	return r
}

func (l *Ledger) removalReport(r *Removal, now time.Time) wire.InstanceReport {
	report := wire.InstanceReport{InstanceKey: r.InstanceKey, Generation: wire.Generation{Placement: r.Placement}, Since: now}
	var last *Copy
	for _, c := range l.copies[r.InstanceKey] {
		if c.Generation.Placement <= r.Placement {
			last = c
		}
	}
	if last != nil {
		report.Generation.Move = last.Generation.Move
	}
	if r.Done || last == nil {
		report.State, report.Detail = wire.StateUndeployed, "nothing of it is left on any worker that can be reached"
		return report
	}
	report.State, report.Since = last.Report.State, last.Report.Since
	if !last.Stop {
		report.Detail = "it gets no new flows, and is about to stop on worker " + l.workerName(last.Worker)
		return report
	}
	report.Detail = fmt.Sprintf("worker %s is stopping it", l.workerName(last.Worker))
	return report
}

func (l *Ledger) workerName(id string) string {
	if w := l.workers[id]; w != nil && w.Name != "" {
		return w.Name
	}
	return id
}

// Acknowledge decides what can be forgotten once root has stored reports: removals of which it knows that nothing is left.
func (l *Ledger) Acknowledge(stored []wire.InstanceReport) Changes {
	ch := newChanges()
	for _, r := range stored {
		have := l.removals[r.InstanceKey]
		if r.State == wire.StateUndeployed && have != nil && have.Done && have.Placement == r.Generation.Placement {
			ch.DropRemovals[r.InstanceKey] = struct{}{}
		}
	}
	return ch
}

// Specs returns those of the instances that are known here, as root would give them.
func (l *Ledger) Specs(keys []wire.InstanceKey) []wire.ClusterInstance {
	var all []wire.ClusterInstance
	for _, key := range keys {
		if i := l.instances[key]; i != nil {
			all = append(all, wire.ClusterInstance{InstanceKey: key, Placement: i.Placement, Spec: i.Spec})
		}
	}
	return all
}
