// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Snapshot is what a resolver has to remember over a restart, for the state folder.
type Snapshot struct {
	// Names are those that somebody has.
	Names []Remembered `json:"names"`
}

// Remembered is one name and the stamp of its answer.
type Remembered struct {
	wire.ResolvedName
	Stamp wire.Stamp `json:"stamp"`
}

func (t *table) snapshot() Snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := Snapshot{Names: []Remembered{}}
	for _, e := range t.names {
		if e.known != nil {
			out.Names = append(out.Names, Remembered{*e.known, e.stamp})
		}
	}
	slices.SortFunc(out.Names, func(a, b Remembered) int { return a.Compare(b.NameKey) })
	return out
}

// restore takes a snapshot in. All names count as looked up now. What was heard meanwhile is newer and stays.
func (t *table) restore(s Snapshot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for _, n := range s.Names[:min(len(s.Names), maxNames)] {
		if n.Resolution == wire.ResolvedService && t.names[n.NameKey] == nil {
			t.names[n.NameKey] = &entry{lookedUp: now, known: &n.ResolvedName, stamp: n.Stamp}
		}
	}
}
