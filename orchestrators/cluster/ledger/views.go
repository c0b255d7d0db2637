// SPDX-License-Identifier: Apache-2.0

package ledger

import "github.com/oakestra/oakestra-ebpf/control/wire"

// CopiesOf returns all copies of all instances of a service, and the specification of its newest instance. wanted says that
// root wants an instance of it, and that the specification is root's word: a worker's for what was adopted counts only without
// it. ok is false if there is nothing left of the service.
func (l *Ledger) CopiesOf(service string) (copies []Copy, spec wire.InstanceSpec, wanted, ok bool) {
	var newest uint64
	take := func(s *wire.InstanceSpec, g wire.Generation, word bool) {
		if !ok || word && !wanted || word == wanted && g.Packed() > newest {
			spec, newest, wanted = *s, g.Packed(), word
		}
		ok = true
	}
	keys := l.keysOf(service)
	for _, key := range keys {
		if i := l.instances[key]; i != nil {
			take(&i.Spec, wire.Generation{Placement: i.Placement, Move: i.LastMove}, i.Wanted)
		}
	}
	for _, key := range keys {
		for _, c := range l.copies[key] {
			copies = append(copies, *c)
			take(&c.Spec, c.Generation, false)
		}
	}
	return copies, spec, wanted, ok
}

// Copy returns one copy.
func (l *Ledger) Copy(id CopyID) (Copy, bool) {
	if c := l.find(id.InstanceKey, id.Generation); c != nil {
		return *c, true
	}
	return Copy{}, false
}

// Current returns the newest copy of an instance that is not to stop, else the newest there is: the one that is meant when an instance is
// named without a generation.
func (l *Ledger) Current(key wire.InstanceKey) (Copy, bool) {
	c := l.current(key)
	if all := l.copies[key]; c == nil && len(all) > 0 {
		c = all[len(all)-1]
	}
	if c == nil {
		return Copy{}, false
	}
	return *c, true
}

// Copies returns all copies, in order.
func (l *Ledger) Copies() (all []Copy) {
	for _, key := range l.keys() {
		for _, c := range l.copies[key] {
			all = append(all, *c)
		}
	}
	return all
}
