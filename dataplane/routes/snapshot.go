// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"cmp"
	"errors"
	"iter"
	"net/netip"
	"slices"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Snapshot is what a table has to remember over a restart, for the state folder.
type Snapshot struct {
	// Wanted are the addresses that were looked up.
	Wanted []netip.Addr `json:"wanted"`
	// Routes are the latest of each service, in the order in which they came.
	Routes []wire.NetRoutes `json:"routes"`
}

// Change is what makes of one snapshot the next: the routes of one service, or that it is gone, and addresses that were looked up.
type Change struct {
	Routes *wire.NetRoutes `json:"routes,omitempty"`
	Gone   string          `json:"gone,omitempty"`
	Wanted []netip.Addr    `json:"wanted,omitempty"`
}

// All returns changes that make of nothing what the table has to remember. [Table.Changes] then returns those after it. The table is not
// locked while they are gone through, since with thousands of services that takes a while.
func (t *Table) All() iter.Seq[Change] {
	t.mu.Lock()
	t.unsaved = map[string]bool{}
	wanted := make([]netip.Addr, 0, len(t.wants))
	for addr := range t.wants {
		if _, refused := t.refused[addr]; !refused {
			wanted = append(wanted, addr.Netip())
		}
	}
	all := make([]ordered, 0, len(t.services))
	for _, s := range t.services {
		if s.routes != nil {
			all = append(all, ordered{s.order, Change{Routes: s.routes}})
		}
	}
	t.mu.Unlock()
	slices.SortFunc(wanted, netip.Addr.Compare)
	all = append(all, ordered{0, Change{Wanted: wanted}})
	return inOrder(all)
}

// Changes returns what has changed since it, or All, was called last.
func (t *Table) Changes() iter.Seq[Change] {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]ordered, 0, len(t.unsaved))
	for id := range t.unsaved {
		s := t.services[id]
		if s == nil || s.routes == nil {
			all = append(all, ordered{0, Change{Gone: id}})
			continue
		}
		c := Change{Routes: s.routes}
		for addr := range s.addrs {
			if t.wants[addr] != nil {
				c.Wanted = append(c.Wanted, addr.Netip())
			}
		}
		all = append(all, ordered{s.order, c})
	}
	t.unsaved = map[string]bool{}
	return inOrder(all)
}

// ordered is a change with the order of its routes, which are never changed but replaced.
type ordered struct {
	order uint64
	Change
}

func inOrder(all []ordered) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		slices.SortFunc(all, func(a, b ordered) int { return cmp.Compare(a.order, b.order) })
		for _, c := range all {
			if !yield(c.Change) {
				return
			}
		}
	}
}

// History makes a snapshot of changes, given one after another.
type History struct {
	latest map[string]int // service id → in changes
	routes []*wire.NetRoutes
	wanted map[netip.Addr]bool
}

// Add takes in the next change.
func (h *History) Add(c Change) {
	if h.latest == nil {
		h.latest, h.wanted = map[string]int{}, map[netip.Addr]bool{}
	}
	id := c.Gone
	if c.Routes != nil {
		id = c.Routes.ServiceID
	}
	if at, known := h.latest[id]; known {
		h.routes[at] = nil
		delete(h.latest, id)
	}
	if c.Routes != nil {
		h.latest[id] = len(h.routes)
		h.routes = append(h.routes, c.Routes)
	}
	for _, a := range c.Wanted {
		h.wanted[a] = true
	}
}

// Snapshot is what the changes have led to.
func (h *History) Snapshot() Snapshot {
	out := Snapshot{Wanted: []netip.Addr{}, Routes: []wire.NetRoutes{}}
	for a := range h.wanted {
		out.Wanted = append(out.Wanted, a)
	}
	slices.SortFunc(out.Wanted, netip.Addr.Compare)
	for _, r := range h.routes {
		if r != nil {
			out.Routes = append(out.Routes, *r)
		}
	}
	return out
}

// Restore takes a snapshot in, before the cluster answers. Local endpoints and peers have to be there already: a route to one that is not
// would be taken out of use. All addresses count as looked up now. Routes that cannot be restored are named in the error; the others count.
func (t *Table) Restore(snapshot Snapshot) error {
	var errs []error
	for _, r := range snapshot.Routes {
		errs = append(errs, t.take(r, true))
	}
	t.mu.Lock()
	defer t.unlock()
	t.restored = t.now()
	for _, a := range snapshot.Wanted {
		addr := bpf.AddrFrom(a.Unmap())
		if usableAddr(a) && t.wants[addr] == nil && len(t.wants) < maxWanted {
			t.wants[addr] = &want{lookedUp: t.now()}
		}
	}
	t.publish = true
	return errors.Join(errs...)
}
