// SPDX-License-Identifier: Apache-2.0

package ledger

// Load fills an empty ledger with what was stored. A copy whose instance was lost is kept: it runs on.
func (l *Ledger) Load(instances []Instance, copies []Copy, removals []Removal) Affected {
	ch := newChanges()
	for _, i := range instances {
		ch.Instances[i.InstanceKey] = i
	}
	for _, c := range copies {
		c.before = true
		ch.Copies[CopyID{c.InstanceKey, c.Generation}] = c
		if _, ok := ch.Instances[c.InstanceKey]; !ok && !c.Stop {
			ch.Instances[c.InstanceKey] = Instance{InstanceKey: c.InstanceKey, Placement: c.Generation.Placement, Spec: c.Spec,
				LastMove: c.Generation.Move}
		}
	}
	for _, r := range removals {
		ch.Removals[r.InstanceKey] = r
	}
	return l.Apply(ch)
}
