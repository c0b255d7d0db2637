// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"cmp"
	"errors"
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

// Snapshot returns what [Table.Restore] takes.
func (t *Table) Snapshot() Snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := Snapshot{Wanted: make([]netip.Addr, 0, len(t.wants)), Routes: []wire.NetRoutes{}}
	for addr := range t.wants {
		if _, refused := t.refused[addr]; !refused {
			out.Wanted = append(out.Wanted, addr.Netip())
		}
	}
	slices.SortFunc(out.Wanted, netip.Addr.Compare)
	var known []*service
	for _, s := range t.services {
		if s.routes != nil {
			known = append(known, s)
		}
	}
	slices.SortFunc(known, func(a, b *service) int { return cmp.Compare(a.order, b.order) })
	for _, s := range known {
		out.Routes = append(out.Routes, *s.routes)
	}
	return out
}

// Restore takes a snapshot in, before the cluster answers. Local endpoints and peers have to be there already: a route to one that is not
// would be taken out of use. All addresses count as looked up now. Routes that cannot be restored are named in the error; the others count.
func (t *Table) Restore(snapshot Snapshot) error {
	var errs []error
	for _, r := range snapshot.Routes {
		errs = append(errs, t.Apply(r))
	}
	t.mu.Lock()
	defer t.unlock()
	for _, a := range snapshot.Wanted {
		addr := bpf.AddrFrom(a.Unmap())
		if usableAddr(a) && t.wants[addr] == nil && len(t.wants) < maxWanted {
			t.wants[addr] = &want{lookedUp: t.now()}
		}
	}
	t.publish = true
	return errors.Join(errs...)
}
