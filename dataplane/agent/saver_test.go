// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/routes"
)

// nobody knows no other worker.
type nobody struct{}

func (nobody) Index(string) (uint32, bool) { return 0, false }
func (nobody) Unreachable(string) bool     { return false }

// TestRoutesAreStored: a change adds to the file what it changes, what a build before has left is read as long as there is nothing newer, and
// a line that the power cut takes itself alone.
func TestRoutesAreStored(t *testing.T) {
	maps, err := bpf.NewMaps()
	require.NoError(t, err, "the test needs root")
	defer func() { require.NoError(t, maps.Close()) }()
	table, err := routes.New(routes.Config{Maps: maps, WorkerID: workerID, Peers: nobody{},
		LocalEndpoint: func(wire.InstanceKey, wire.Generation) (bpf.Endpoint, bool) { return bpf.Endpoint{}, false }})
	require.NoError(t, err)
	defer table.Close()
	a, o := &Agent{state: folder(t.TempDir())}, &overlay{routes: table}
	s := newSaver(a)
	defer s.journal.Close()
	service := func(last byte, revision uint64) wire.NetRoutes {
		return wire.NetRoutes{
			Header:    wire.NewHeader(wire.Stamp{Epoch: 1, Revision: revision}),
			ServiceID: strings.Repeat("0", 23) + string(last),
			Addresses: []wire.ServiceAddress{{Policy: wire.PolicyRoundRobin, Address: netip.AddrFrom4([4]byte{10, 30, 0, last})}},
		}
	}
	size := func() int64 {
		st, err := os.Stat(a.state.path(routesFile))
		require.NoError(t, err)
		return st.Size()
	}
	stored := func() (out []uint64) {
		snapshot, found, err := a.state.readRoutes()
		require.NoError(t, err)
		require.True(t, found)
		for _, r := range snapshot.Routes {
			out = append(out, r.Revision)
		}
		return out
	}

	_, found, err := a.state.readRoutes()
	require.NoError(t, err)
	require.False(t, found)
	require.NoError(t, a.state.write(formerRoutesFile, routes.Snapshot{Routes: []wire.NetRoutes{service('1', 7), service('2', 8)}}))
	require.Equal(t, []uint64{7, 8}, stored())
	snapshot, _, err := a.state.readRoutes()
	require.NoError(t, err)
	require.NoError(t, table.Restore(snapshot))

	require.NoError(t, s.writeRoutes(o))
	require.Equal(t, []uint64{7, 8}, stored())
	require.NoFileExists(t, a.state.path(formerRoutesFile))
	whole := size()
	require.NoError(t, table.Apply(service('1', 9)))
	require.NoError(t, s.writeRoutes(o))
	require.Equal(t, []uint64{8, 9}, stored())
	require.Less(t, size()-whole, whole, "one of two is added")
	require.NoError(t, table.Apply(wire.NetRoutes{Header: service('2', 10).Header, ServiceID: service('2', 10).ServiceID, Gone: true}))
	require.NoError(t, s.writeRoutes(o))
	require.Equal(t, []uint64{9}, stored())

	f, err := os.OpenFile(a.state.path(routesFile), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"gone":"` + service('1', 0).ServiceID)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Equal(t, []uint64{9}, stored())
	// The next process does not add to it.
	next := newSaver(a)
	defer next.journal.Close()
	require.NoError(t, next.writeRoutes(o))
	require.Less(t, size(), whole)
	require.Equal(t, []uint64{9}, stored())
}
