// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"reflect"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// TakeDesired decides what root's desired state changes. Nothing stops because a list lacks it: only a tombstone does that. called are the
// services that somebody calls: of these a copy that is to stop while others serve gets no new flows for a moment before.
func (l *Ledger) TakeDesired(d *wire.ClusterDesired, called map[string]bool, now time.Time) Changes {
	ch := newChanges()
	named := map[wire.InstanceKey]struct{}{}
	for _, t := range d.Removed {
		named[t.InstanceKey] = struct{}{}
		l.takeTombstone(t, &ch)
	}
	l.stopRemoved(&ch, called, now)
	for _, ci := range d.Changed {
		named[ci.InstanceKey] = struct{}{}
		l.takeInstance(ci, &ch)
	}
	l.takeOrders(d.Orders, &ch)
	if d.Full {
		for key, i := range l.instances {
			if _, ok := named[key]; !ok && i.Wanted {
				orphan := *i
				orphan.Wanted = false
				ch.Instances[key] = orphan
			}
		}
		for key, r := range l.removals {
			if _, ok := ch.Removals[key]; !ok {
				l.stopCopies(r, &ch) // it was decided, although root does not repeat it
				ch.DropRemovals[key] = struct{}{}
			}
		}
	}
	return ch
}

func (l *Ledger) takeInstance(ci wire.ClusterInstance, ch *Changes) {
	key := ci.InstanceKey
	if r, ok := ch.Removals[key]; ok && r.Placement >= ci.Placement {
		return
	}
	if r := l.removals[key]; r != nil && r.Placement >= ci.Placement {
		return
	}
	fresh := Instance{InstanceKey: key, Placement: ci.Placement, Spec: ci.Spec, Wanted: true, LastMove: l.lastMove(key, ci.Placement)}
	if have := l.instances[key]; have != nil {
		if have.Placement > ci.Placement {
			return
		}
		if have.Placement == ci.Placement {
			fresh.LastMove = max(fresh.LastMove, have.LastMove)
			if have.Wanted && reflect.DeepEqual(have.Spec, ci.Spec) {
				return
			}
		}
	}
	delete(ch.DropInstances, key)
	ch.Instances[key] = fresh
	for _, c := range l.copies[key] {
		if c.Generation.Placement == ci.Placement && !c.Stop {
			updated := *c
			updated.Spec = ci.Spec
			ch.Copies[CopyID{key, c.Generation}] = updated
		}
	}
}

func (l *Ledger) takeTombstone(t wire.Tombstone, ch *Changes) {
	key := t.InstanceKey
	if i := l.instances[key]; i != nil && i.Placement <= t.Generation.Placement {
		ch.DropInstances[key] = struct{}{}
	}
	if r := l.removals[key]; r != nil && r.Placement >= t.Generation.Placement {
		ch.Removals[key] = *r // already known
		return
	}
	ch.Removals[key] = Removal{InstanceKey: key, Placement: t.Generation.Placement}
}

// lastMove returns the highest move that any copy under the placement has.
func (l *Ledger) lastMove(key wire.InstanceKey, placement uint32) (move uint32) {
	for _, c := range l.copies[key] {
		if c.Generation.Placement == placement {
			move = max(move, c.Generation.Move)
		}
	}
	return move
}

// DesiredOf returns what a worker is to run and to stop. The caller stamps it.
func (l *Ledger) DesiredOf(worker string) wire.Desired {
	d := wire.Desired{Instances: []wire.DesiredInstance{}, Tombstones: []wire.Tombstone{}}
	for _, key := range l.keysOn(worker) {
		for _, c := range l.copies[key] {
			switch {
			case c.Worker != worker:
			case c.Stop:
				d.Tombstones = append(d.Tombstones, wire.Tombstone{InstanceKey: key, Generation: c.Generation})
			default:
				d.Instances = append(d.Instances, wire.DesiredInstance{InstanceKey: key, Generation: c.Generation, Spec: c.Spec})
			}
		}
	}
	d.Tombstones = append(d.Tombstones, l.doublesOf(worker)...)
	return d
}
