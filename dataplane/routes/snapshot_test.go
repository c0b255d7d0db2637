// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// snapshotOf is what changes lead to once they have been in a file.
func snapshotOf(changes ...iter.Seq[Change]) Snapshot {
	var h History
	for _, some := range changes {
		for c := range some {
			line, err := json.Marshal(c)
			if err != nil {
				panic(err)
			}
			var read Change
			if err := json.Unmarshal(line, &read); err != nil {
				panic(err)
			}
			h.Add(read)
		}
	}
	return h.Snapshot()
}

// TestChangesLeadToWhatIsHeld: whenever the table is saved, whole or by its changes, what was saved is all that it holds, in the order in
// which it came.
func TestChangesLeadToWhatIsHeld(t *testing.T) {
	w := newWorld(t)
	service := func(n int, revision uint64) wire.NetRoutes {
		r := routesOf(revision)
		r.ServiceID = fmt.Sprintf("%024x", n)
		r.Addresses = []wire.ServiceAddress{{Policy: wire.PolicyRoundRobin, Address: netip.AddrFrom4([4]byte{10, 30, 9, byte(n)})}}
		return r
	}
	apply := func(n int, revision uint64) { require.NoError(t, w.Apply(service(n, revision))) }
	gone := func(n int, revision uint64) {
		require.NoError(t, w.Apply(wire.NetRoutes{Header: service(n, revision).Header, ServiceID: service(n, revision).ServiceID, Gone: true}))
	}
	var saved []iter.Seq[Change]
	save := func(changes iter.Seq[Change]) int {
		kept := slices.Collect(changes)
		saved = append(saved, slices.Values(kept))
		return len(kept)
	}
	same := func() {
		t.Helper()
		require.Equal(t, snapshotOf(w.All()), snapshotOf(saved...))
	}

	apply(1, 1)
	apply(2, 1)
	apply(3, 1)
	w.Want(netip.MustParseAddr("10.30.9.1"))
	save(w.All())
	require.Zero(t, save(w.Changes()), "nothing has changed since")
	same()

	saved = nil
	save(w.All())
	apply(2, 2)
	apply(1, 2)
	apply(1, 2) // once more, which is none
	apply(4, 1)
	w.Want(netip.MustParseAddr("10.30.9.2"))
	w.Want(netip.MustParseAddr("10.30.9.4"))
	gone(3, 2)
	require.Equal(t, 4, save(w.Changes()))
	got := snapshotOf(saved...)
	var ids []string
	for _, r := range got.Routes {
		ids = append(ids, fmt.Sprintf("%s at %d", r.ServiceID[23:], r.Revision))
	}
	require.Equal(t, []string{"2 at 2", "1 at 2", "4 at 1"}, ids)
	require.Equal(t, []netip.Addr{netip.MustParseAddr("10.30.9.1"), netip.MustParseAddr("10.30.9.2"), netip.MustParseAddr("10.30.9.4")}, got.Wanted)

	gone(4, 2)
	apply(3, 3)
	save(w.Changes())
	got = snapshotOf(saved...)
	require.Len(t, got.Routes, 3)
	require.Equal(t, service(3, 3).ServiceID, got.Routes[2].ServiceID)
	require.EqualValues(t, 3, got.Routes[2].Revision)

	// What changes while all is being written comes with the next changes.
	all := w.All()
	apply(1, 5)
	saved = nil
	save(all)
	save(w.Changes())
	require.EqualValues(t, 5, slices.MaxFunc(snapshotOf(saved...).Routes, func(a, b wire.NetRoutes) int { return int(a.Revision) - int(b.Revision) }).Revision)
}
