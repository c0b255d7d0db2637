// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// swept is a flow, the marks of its two directions and how long it lives.
type swept struct {
	name                string
	proto               uint8
	flags, reverseFlags uint16
	seen, reverseSeen   uint8
	limit               time.Duration
}

var lives = []swept{
	{"TCP half-open", unix.IPPROTO_TCP, 0, 0, bpf.SeenSYN, 0, HalfOpenTCP},
	{"TCP", unix.IPPROTO_TCP, bpf.FlowEstablished, bpf.FlowEstablished, bpf.SeenACK, bpf.SeenACK, EstablishedTCP},
	{"TCP that its opener has ended", unix.IPPROTO_TCP, bpf.FlowEstablished, bpf.FlowEstablished, bpf.SeenFIN, 0, ClosingTCP},
	{"TCP that its server has ended", unix.IPPROTO_TCP, bpf.FlowEstablished, bpf.FlowEstablished, 0, bpf.SeenFIN, ClosingTCP},
	{"TCP that both have ended", unix.IPPROTO_TCP, bpf.FlowEstablished | bpf.FlowClosed, bpf.FlowEstablished | bpf.FlowClosed,
		bpf.SeenFIN, bpf.SeenFIN, ClosedTCP},
	{"dead", unix.IPPROTO_TCP, bpf.FlowEstablished | bpf.FlowClosed | bpf.FlowDead, bpf.FlowEstablished | bpf.FlowClosed | bpf.FlowDead,
		bpf.SeenRST, bpf.SeenRST, ClosedTCP},
	{"UDP of one way", unix.IPPROTO_UDP, 0, 0, 0, 0, OneWayUDP},
	{"UDP", unix.IPPROTO_UDP, bpf.FlowEstablished, bpf.FlowEstablished, 0, 0, AssuredUDP},
	{"echo", unix.IPPROTO_ICMP, 0, 0, 0, 0, Echo},
}

func newMaps(t *testing.T) *bpf.Maps {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: BPF")
	}
	m, err := bpf.NewMaps()
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

var families = map[string][2]netip.Addr{
	"IPv4": {netip.MustParseAddr("10.18.0.2"), netip.MustParseAddr("10.30.0.1")},
	"IPv6": {netip.MustParseAddr("fc00::2"), netip.MustParseAddr("fdff::1")},
}

// put enters a flow to the instance 3 whose directions were last seen then.
func (s swept) put(t *testing.T, m *bpf.Maps, addrs [2]netip.Addr, there, back time.Duration) bpf.FlowKey {
	t.Helper()
	src, dst := bpf.AddrFrom(addrs[0]), bpf.AddrFrom(addrs[1])
	key := bpf.FlowKey{Src: src, Dst: dst, Sport: 1, Dport: 2, Proto: s.proto, From: 7}
	flow := bpf.Flow{Src: src, Dst: dst, Sport: 1, Dport: 2, Flags: s.flags, Seen: s.seen, To: 8, Backend: 3, LastSeen: there}
	require.NoError(t, m.Flows().Put(key, flow))
	require.NoError(t, m.Flows().Put(key.Reverse(flow), bpf.Flow{
		Src: dst, Dst: src, Sport: 2, Dport: 1, Flags: s.reverseFlags | bpf.FlowReply, Seen: s.reverseSeen, To: 7, LastSeen: back,
	}))
	return key
}

func entries(t *testing.T, m *bpf.Maps) (n int) {
	t.Helper()
	var err error
	for range m.Flows().All(&err) {
		n++
	}
	require.NoError(t, err)
	return n
}

// TestFlowsTimeOut takes each kind of flow to the end of its life: a millisecond before it is there, whichever direction was the last; then it
// is not.
func TestFlowsTimeOut(t *testing.T) {
	for name, addrs := range families {
		for _, s := range lives {
			t.Run(name+"/"+s.name, func(t *testing.T) {
				m := newMaps(t)
				// Times are read as at or before now.
				last := monotonic() - time.Second
				for _, other := range []time.Duration{last - time.Millisecond, last} {
					s.put(t, m, addrs, other, last)
					require.NoError(t, sweepAt(t, m, last+s.limit-2*time.Millisecond))
					require.Equal(t, 2, entries(t, m), "it goes too soon")
					s.put(t, m, addrs, last, other)
					require.NoError(t, sweepAt(t, m, last+s.limit-2*time.Millisecond))
					require.Equal(t, 2, entries(t, m), "it goes too soon")
				}
				require.NoError(t, sweepAt(t, m, last+s.limit+2*time.Millisecond))
				require.Zero(t, entries(t, m), "it stays for too long")
			})
		}
	}
}

func sweepAt(t *testing.T, m *bpf.Maps, now time.Duration) error {
	t.Helper()
	return sweep(t.Context(), m, now)
}

// TestSweepCountsFlows: the counts of flows become what there is, of both families; what programs count meanwhile is not lost.
func TestSweepCountsFlows(t *testing.T) {
	m := newMaps(t)
	now := monotonic()
	for _, addrs := range families {
		lives[1].put(t, m, addrs, now, now)
		lives[7].put(t, m, addrs, now, now)
	}
	require.NoError(t, m.Loads.Put(3, bpf.ActiveFlows{Active: 9, Lately: 500}))
	require.NoError(t, m.Loads.Put(5, bpf.ActiveFlows{Active: 2}))
	require.NoError(t, sweepAt(t, m, now))
	got, _, err := m.Loads.Lookup(3)
	require.NoError(t, err)
	require.Equal(t, bpf.ActiveFlows{Active: 4, Lately: 500}, got)
	got, _, err = m.Loads.Lookup(5)
	require.NoError(t, err)
	require.Zero(t, got.Active)

	// One was opened after the flows were listed.
	require.NoError(t, setActives(m, map[uint32]uint32{3: 3}, map[uint32]uint32{3: 3}))
	got, _, err = m.Loads.Lookup(3)
	require.NoError(t, err)
	require.EqualValues(t, 4, got.Active)
}

// TestSweepCountsShares: what endpoints are charged becomes what there is, also after a start with no counts; those that are gone are forgotten.
func TestSweepCountsShares(t *testing.T) {
	m := newMaps(t)
	now := monotonic()
	for _, addrs := range families {
		lives[1].put(t, m, addrs, now, now)
		lives[7].put(t, m, addrs, now, now)
		lives[8].put(t, m, addrs, now, now) // an echo is never established
		// Of a peer's caller, and of one outside: charged to who is called.
		for n, from := range []uint32{bpf.FromPeer | 2, bpf.FromOutside} {
			key := bpf.FlowKey{Src: bpf.AddrFrom(addrs[1]), Dst: bpf.AddrFrom(addrs[0]), Sport: uint16(10 + n), Dport: 2, Proto: 6, From: from}
			f := bpf.Flow{Src: key.Src, Dst: key.Dst, Sport: key.Sport, Dport: 2, Flags: bpf.FlowEstablished, To: 8, LastSeen: now}
			require.NoError(t, m.Flows().Put(key, f))
			require.NoError(t, m.Flows().Put(key.Reverse(f), bpf.Flow{Src: key.Dst, Dst: key.Src, Sport: 2, Dport: key.Sport,
				Flags: bpf.FlowEstablished | bpf.FlowReply, To: 1, LastSeen: now}))
		}
	}
	for _, ifindex := range []uint32{7, 8, 9} {
		require.NoError(t, m.Endpoints.Put(ifindex, bpf.Endpoint{Ifindex: ifindex}))
	}
	require.NoError(t, m.Shares.Put(8, bpf.Share{Flows: [2]uint32{5, 0}}))
	require.NoError(t, m.Shares.Put(9, bpf.Share{Flows: [2]uint32{3, 4}}))
	require.NoError(t, m.Shares.Put(10, bpf.Share{Flows: [2]uint32{1, 1}}))
	require.NoError(t, sweepAt(t, m, now))
	got, err := sharesOf(m)
	require.NoError(t, err)
	require.Equal(t, map[uint32]bpf.Share{
		7: {Flows: [2]uint32{2, 2}}, // TCP and UDP
		8: {Flows: [2]uint32{2, 2}},
		9: {},
	}, got)

	// What programs have counted meanwhile is not lost.
	require.NoError(t, setShares(m, map[uint32]bpf.Share{7: {Flows: [2]uint32{1, 3}}}, map[uint32]bpf.Share{7: {Flows: [2]uint32{4, 4}}}))
	s, _, err := m.Shares.Lookup(7)
	require.NoError(t, err)
	require.Equal(t, bpf.Share{Flows: [2]uint32{5, 3}}, s)
}
