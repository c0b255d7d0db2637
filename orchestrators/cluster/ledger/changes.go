// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// CopyID names one copy.
type CopyID struct {
	wire.InstanceKey
	Generation wire.Generation
}

// Changes are decisions, to be stored in one transaction before they are applied. Each is the whole new row.
type Changes struct {
	Instances     map[wire.InstanceKey]Instance
	DropInstances map[wire.InstanceKey]struct{}
	Copies        map[CopyID]Copy
	DropCopies    map[CopyID]struct{}
	Removals      map[wire.InstanceKey]Removal
	DropRemovals  map[wire.InstanceKey]struct{}
	Orders        map[string]wire.WorkerOrder // by worker
	// Doubles are to be stopped; they are not stored.
	Doubles map[Double]struct{}
}

func newChanges() Changes {
	return Changes{
		Instances: map[wire.InstanceKey]Instance{}, DropInstances: map[wire.InstanceKey]struct{}{},
		Copies: map[CopyID]Copy{}, DropCopies: map[CopyID]struct{}{},
		Removals: map[wire.InstanceKey]Removal{}, DropRemovals: map[wire.InstanceKey]struct{}{},
		Orders: map[string]wire.WorkerOrder{}, Doubles: map[Double]struct{}{},
	}
}

// Empty reports whether there is nothing to store.
func (c *Changes) Empty() bool {
	return len(c.Instances)+len(c.DropInstances)+len(c.Copies)+len(c.DropCopies)+len(c.Removals)+len(c.DropRemovals)+len(c.Orders)+len(c.Doubles) == 0
}

// Affected are the workers whose desired state, and the services whose copies, applying changes has changed.
type Affected struct {
	Workers, Services []string
}

// Apply carries stored changes out. What was seen of a copy meanwhile is kept.
func (l *Ledger) Apply(c Changes) Affected {
	workers, services := map[string]struct{}{}, map[string]struct{}{}
	for key := range c.DropInstances {
		delete(l.instances, key)
		l.forgetService(key)
		services[key.ServiceID] = struct{}{}
	}
	for key, i := range c.Instances {
		if have := l.instances[key]; have != nil {
			i.status, i.Refusals, i.missedSince = have.status, have.Refusals, have.missedSince
			if i.scheduling == nil {
				i.scheduling = have.scheduling
			}
		}
		l.instances[key] = &i
		l.noteService(key)
		services[key.ServiceID] = struct{}{}
	}
	for id := range c.DropCopies {
		if have := l.find(id.InstanceKey, id.Generation); have != nil {
			workers[have.Worker] = struct{}{}
		}
		l.dropCopy(id)
		services[id.ServiceID] = struct{}{}
	}
	for _, copy := range c.Copies {
		if have := l.find(copy.InstanceKey, copy.Generation); have != nil {
			workers[have.Worker] = struct{}{}
		}
		l.putCopy(copy)
		workers[copy.Worker] = struct{}{}
		services[copy.ServiceID] = struct{}{}
	}
	for d := range c.Doubles {
		l.stopDouble(d)
		workers[d.Worker] = struct{}{}
	}
	for _, o := range c.Orders {
		l.Restore(o)
	}
	for key := range c.DropRemovals {
		delete(l.removals, key)
	}
	for key, r := range c.Removals {
		l.removals[key] = &r
		services[key.ServiceID] = struct{}{} // its copies may get no new flows from now on
	}
	return Affected{Workers: slices.Sorted(maps.Keys(workers)), Services: slices.Sorted(maps.Keys(services))}
}

func (l *Ledger) putCopy(c Copy) {
	if have := l.find(c.InstanceKey, c.Generation); have != nil {
		if have.Worker != c.Worker {
			have.Report, have.elsewhere, have.gone, have.before, have.entered = c.Report, false, false, false, c.entered
		}
		before := have.Worker
		have.Worker, have.Spec, have.Stop = c.Worker, c.Spec, c.Stop
		l.noteWorker(c.Worker, c.InstanceKey)
		l.forgetWorker(before, c.InstanceKey)
		return
	}
	list := slices.Concat(l.copies[c.InstanceKey], []*Copy{&c})
	slices.SortFunc(list, func(a, b *Copy) int { return a.Generation.Compare(b.Generation) })
	l.copies[c.InstanceKey] = list
	l.noteWorker(c.Worker, c.InstanceKey)
	l.noteService(c.InstanceKey)
}

func (l *Ledger) dropCopy(id CopyID) {
	had := l.find(id.InstanceKey, id.Generation)
	if had == nil {
		return
	}
	list := slices.DeleteFunc(l.copies[id.InstanceKey], func(c *Copy) bool { return c.Generation == id.Generation })
	if l.copies[id.InstanceKey] = list; len(list) == 0 {
		delete(l.copies, id.InstanceKey)
	}
	l.forgetWorker(had.Worker, id.InstanceKey)
	l.forgetService(id.InstanceKey)
}
