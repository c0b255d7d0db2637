// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"maps"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// keySet is a set of instances.
type keySet map[wire.InstanceKey]struct{}

// index finds instances by what they are asked for by: a cluster of a thousand workers looks one worker's or one service's up with every message.
type index struct {
	// byWorker are the instances that have a copy on a worker, byService those that a service has, be it as instance or as copy.
	byWorker, byService map[string]keySet
}

func newIndex() index { return index{map[string]keySet{}, map[string]keySet{}} }

func (l *Ledger) noteWorker(worker string, key wire.InstanceKey) { put(l.index.byWorker, worker, key) }

func (l *Ledger) noteService(key wire.InstanceKey) { put(l.index.byService, key.ServiceID, key) }

// forgetWorker takes an instance from a worker unless it still has a copy there.
func (l *Ledger) forgetWorker(worker string, key wire.InstanceKey) {
	if !slices.ContainsFunc(l.copies[key], func(c *Copy) bool { return c.Worker == worker }) {
		drop(l.index.byWorker, worker, key)
	}
}

// forgetService takes an instance from its service once there is nothing of it any more.
func (l *Ledger) forgetService(key wire.InstanceKey) {
	if l.instances[key] == nil && len(l.copies[key]) == 0 {
		drop(l.index.byService, key.ServiceID, key)
	}
}

// keysOn returns the instances that have a copy on a worker, in order; keysOf those of a service.
func (l *Ledger) keysOn(worker string) []wire.InstanceKey  { return sorted(l.index.byWorker[worker]) }
func (l *Ledger) keysOf(service string) []wire.InstanceKey { return sorted(l.index.byService[service]) }

func put(m map[string]keySet, name string, key wire.InstanceKey) {
	if m[name] == nil {
		m[name] = keySet{}
	}
	m[name][key] = struct{}{}
}

func drop(m map[string]keySet, name string, key wire.InstanceKey) {
	if delete(m[name], key); len(m[name]) == 0 {
		delete(m, name)
	}
}

func sorted(s keySet) []wire.InstanceKey {
	return slices.SortedFunc(maps.Keys(s), wire.InstanceKey.Compare)
}
