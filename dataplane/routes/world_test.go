// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const (
	self   = "aaaaaaaaaaaaaaaaaaaaaaaa"
	peerB  = "bbbbbbbbbbbbbbbbbbbbbbbb"
	peerC  = "cccccccccccccccccccccccc"
	hello  = "111111111111111111111111"
	other  = "222222222222222222222222"
	rr     = "10.30.1.1"
	close_ = "10.30.2.1"
)

// world is a table with everything around it scripted, on maps of the kernel.
type world struct {
	*Table
	t     *testing.T
	maps  *bpf.Maps
	peers map[string]met
	// unreachable are peers that no packet can reach.
	unreachable map[string]bool
	endpoints   map[wire.InstanceKey]bpf.Endpoint
	inUse       map[bpf.Addr]int
	clock       time.Time
	waits       []time.Duration // that the table has begun
	end         func()          // of the latest one
	published   int
	answers     []string
}

type met struct {
	index uint32
	met   bool
}

func (w *world) Unreachable(id string) bool { return w.unreachable[id] }

func (w *world) Index(id string) (uint32, bool) { return w.peers[id].index, w.peers[id].met }

func newWorld(t *testing.T) *world {
	t.Helper()
	maps, err := bpf.NewMaps()
	require.NoError(t, err)
	t.Cleanup(func() { _ = maps.Close() })
	w := &world{
		t: t, maps: maps, clock: time.Unix(1_000_000, 0),
		peers:       map[string]met{peerB: {1, true}, peerC: {2, true}},
		unreachable: map[string]bool{},
		endpoints:   map[wire.InstanceKey]bpf.Endpoint{},
		inUse:       map[bpf.Addr]int{},
	}
	w.restart()
	return w
}

// restart is what NetManager's death and its next start do to the table.
func (w *world) restart() {
	w.t.Helper()
	if w.Table != nil {
		w.Close()
	}
	table, err := New(Config{
		Maps: w.maps, WorkerID: self, Peers: w,
		LocalEndpoint: func(k wire.InstanceKey, g wire.Generation) (bpf.Endpoint, bool) {
			e, ok := w.endpoints[k]
			return e, ok && e.Generation == g.Packed()
		},
		Publish: func() { w.published++ },
		InUse: func() (map[uint32]int, map[bpf.Addr]int, map[bpf.Addr]int, error) {
			return nil, nil, w.inUse, nil
		},
	})
	require.NoError(w.t, err)
	table.now = func() time.Time { return w.clock }
	table.after = func(d time.Duration, f func()) *time.Timer {
		w.waits, w.end = append(w.waits, d), f
		return time.NewTimer(time.Hour) // ends by w.end alone, so that no test hangs on how fast the machine is
	}
	table.OnAnswer(func(a netip.Addr, ok bool) { w.answers = append(w.answers, fmt.Sprint(a, " ", ok)) })
	w.Table, w.answers, w.published = table, nil, 0
	w.t.Cleanup(table.Close)
}

func (w *world) attach(number int, placement uint32, ifindex, tag uint32) {
	w.endpoints[wire.InstanceKey{ServiceID: hello, Number: number}] = bpf.Endpoint{
		Generation: wire.Generation{Placement: placement, Move: 1}.Packed(), Ifindex: ifindex, Tag: tag,
		Ns: [2]bpf.Addr{bpf.AddrFrom(netip.MustParseAddr(fmt.Sprintf("10.18.0.%d", number+2)))},
	}
}

func instance(number int, placement uint32, peer string) wire.RouteInstance {
	return wire.RouteInstance{
		Number: number, Generation: wire.Generation{Placement: placement, Move: 1}, Peer: peer, State: wire.StateRunning,
		InstanceIP:  netip.MustParseAddr(fmt.Sprintf("10.30.0.%d", number+1)),
		NamespaceIP: netip.MustParseAddr(fmt.Sprintf("10.18.%d.%d", peer[0]-'a', number+2)),
		Tag:         uint32(0x100 + number),
	}
}

func routesOf(revision uint64, instances ...wire.RouteInstance) wire.NetRoutes {
	return wire.NetRoutes{
		Header:    wire.NewHeader(wire.Stamp{Epoch: 1, Revision: revision}),
		ServiceID: hello, JobName: "app.test.hello.test",
		Addresses: []wire.ServiceAddress{
			{Policy: wire.PolicyRoundRobin, Address: netip.MustParseAddr(rr)},
			{Policy: wire.PolicyClosest, Address: netip.MustParseAddr(close_)},
			{Policy: wire.PolicyUnderutilized, Address: netip.MustParseAddr("fdff:3000::1")},
		},
		Instances: instances,
	}
}

// dump is what the maps hold, as text.
func (w *world) dump() string {
	w.t.Helper()
	var err error
	var lines []string
	for i, s := range w.maps.Services.All(&err) {
		if s.Id != ([12]byte{}) {
			lines = append(lines, fmt.Sprintf("service %d %s.. %v", i, bpf.FormatID(s.Id)[:2], s.Backends[:s.Count]))
		}
	}
	for i, b := range w.maps.Backends.All(&err) {
		if b.Generation != 0 {
			lines = append(lines, fmt.Sprintf("backend %d of %d: #%d gen %s ns %s inst %s peer %d if %d tag %x",
				i, b.Service, b.Number, wire.UnpackGeneration(b.Generation), b.Ns(bpf.V4), b.Inst(bpf.V4), b.Peer, b.Ifindex, b.Tag))
		}
	}
	var vips []string
	for a, v := range w.maps.VIPs.All(&err) {
		vips = append(vips, fmt.Sprintf("vip %s policy %d service %d backend %d", a, v.Policy, v.Service, v.Backend))
	}
	require.NoError(w.t, err)
	slices.Sort(vips)
	return strings.Join(append(lines, vips...), "\n") + "\n"
}

func (w *world) holds(golden string) {
	w.t.Helper()
	require.Equal(w.t, strings.TrimSpace(golden), strings.TrimSpace(w.dump()))
}
