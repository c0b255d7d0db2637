// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

func sourceOf(ip string, placement uint32) wire.NetSource {
	return wire.NetSource{
		InstanceKey: wire.InstanceKey{ServiceID: idC, Number: 1},
		Generation:  wire.Generation{Placement: placement, Move: 1},
		InstanceIP:  netip.MustParseAddr(ip),
	}
}

func TestIndicesOutliveARestart(t *testing.T) {
	maps := newMaps(t)
	key, other := newKey(t), newKey(t)
	a := newSide(t, maps, idA, key, 1, whereA)
	b := newSide(t, newMaps(t), idB, other, 1, whereB)
	require.NoError(t, a.Apply(list(1, peerOf(idC, newKey(t)), peerOf(idB, other, whereB))))
	require.NoError(t, b.Apply(list(1, peerOf(idA, key, whereA))))
	meet(t, a, b, whereA, whereB)
	indexB, _ := a.Index(idB)
	indexC, _ := a.Index(idC)

	again := newSide(t, maps, idA, key, 2, whereA)
	index, met := again.Index(idB)
	require.Equal(t, indexB, index)
	require.True(t, met, "a restart forgets who was met")
	require.NoError(t, again.Apply(list(1, peerOf(idB, other, whereB), peerOf(idC, newKey(t)))))
	index, _ = again.Index(idB)
	require.Equal(t, indexB, index)
	index, _ = again.Index(idC)
	require.Equal(t, indexC, index)
	meet(t, again, b, whereA, whereB)
}

func TestAHalfDoneWriteIsRepaired(t *testing.T) {
	maps := newMaps(t)
	outer, junk := bpf.AddrFrom(whereB.Addr()), bpf.AddrFrom(whereX.Addr())
	id, err := bpf.ParseID(idB)
	require.NoError(t, err)
	require.NoError(t, maps.Peers.Put(4, bpf.Peer{Id: id, State: bpf.PeerUp, Outer: outer, Port: 50103}))
	require.NoError(t, maps.PeerAddrs.Put(bpf.PeerAddr{Addr: junk}, 4))
	newSide(t, maps, idA, newKey(t), 1, whereA)

	owner, ok, err := maps.PeerAddrs.Lookup(bpf.PeerAddr{Addr: outer})
	require.NoError(t, err)
	require.True(t, ok)
	require.EqualValues(t, 4, owner)
	_, ok, err = maps.PeerAddrs.Lookup(bpf.PeerAddr{Addr: junk})
	require.NoError(t, err)
	require.False(t, ok)
}

func TestOldListsChangeNothing(t *testing.T) {
	a := newSide(t, newMaps(t), idA, newKey(t), 1, whereA)
	key := newKey(t)
	require.NoError(t, a.Apply(list(5, peerOf(idB, key, whereB))))
	require.NoError(t, a.Apply(list(4)))
	require.NoError(t, a.Apply(list(5)))
	a.reap()
	index, _ := a.Index(idB)
	require.NotZero(t, index)
	require.Equal(t, wire.Stamp{Epoch: 1, Revision: 5}, a.Held())

	newer := list(6)
	newer.Format = wire.Format + 1
	require.ErrorIs(t, a.Apply(newer), wire.ErrNewerFormat)
}

func TestAMistakeSparesTheOthers(t *testing.T) {
	a := newSide(t, newMaps(t), idA, newKey(t), 1, whereA)
	keyB := newKey(t)
	require.NoError(t, a.Apply(list(1, peerOf(idB, keyB, whereB))))
	broken := peerOf(idB, keyB, whereB)
	broken.PublicKey = []byte("short")
	err := a.Apply(list(2, broken, wire.NetPeer{WorkerID: "../.."}, peerOf(idA, a.cfg.Key), peerOf(idC, newKey(t))))
	require.ErrorContains(t, err, idB)
	require.ErrorContains(t, err, "../..")
	a.reap()
	for _, id := range []string{idB, idC} {
		index, _ := a.Index(id)
		require.NotZero(t, index, id)
	}
	index, _ := a.Index(idA)
	require.Zero(t, index, "this worker is no peer of itself")
}

func TestWhatIsInUseIsKept(t *testing.T) {
	maps := newMaps(t)
	a := newSide(t, maps, idA, newKey(t), 1, whereA)
	entry := peerOf(idB, newKey(t), whereB)
	entry.Sources = []wire.NetSource{sourceOf("10.30.0.7", 1)}
	require.NoError(t, a.Apply(list(1, entry)))
	index, _ := a.Index(idB)
	ip := bpf.AddrFrom(netip.MustParseAddr("10.30.0.7"))

	usedPeers, usedSources := map[uint32]int{}, map[bpf.Addr]int{}
	var failure error
	a.cfg.InUse = func() (map[uint32]int, map[bpf.Addr]int, map[bpf.Addr]int, error) {
		return usedPeers, usedSources, nil, failure
	}
	there := func() (peer, source bool) {
		t.Helper()
		record, _, err := maps.Peers.Lookup(index)
		require.NoError(t, err)
		_, source, err = maps.Sources.Lookup(ip)
		require.NoError(t, err)
		return record.State != bpf.PeerFree, source
	}
	check := func(why string, wantPeer, wantSource bool) {
		t.Helper()
		a.reap()
		peer, source := there()
		require.Equal(t, wantPeer, peer, "peer: "+why)
		require.Equal(t, wantSource, source, "source: "+why)
	}
	check("listed", true, true)
	require.NoError(t, a.Apply(list(2)))
	failure = errors.New("cannot read flows")
	check("unknown whether in use", true, true)
	failure = nil
	usedSources[ip] = 1
	check("a flow from the source", true, true)
	clear(usedSources)
	usedPeers[index] = 1
	check("a flow to the peer", true, false)
	clear(usedPeers)
	require.NoError(t, maps.Backends.Put(3, bpf.Backend{Generation: 1, Peer: index}))
	check("a route to the peer", true, false)
	require.NoError(t, maps.Backends.Put(3, bpf.Backend{}))
	var gone []string
	a.Subscribe(func(id string) { gone = append(gone, id) })
	check("nothing", false, false)
	require.Equal(t, []string{idB}, gone)
}

func TestTheHighestGenerationOfASourceWins(t *testing.T) {
	maps := newMaps(t)
	a := newSide(t, maps, idA, newKey(t), 1, whereA)
	old, moved := peerOf(idB, newKey(t)), peerOf(idC, newKey(t))
	old.Sources = []wire.NetSource{sourceOf("10.30.0.7", 1)}
	moved.Sources = []wire.NetSource{sourceOf("10.30.0.7", 2)}
	var learned []netip.Addr
	a.SubscribeSources(func(ip netip.Addr) { learned = append(learned, ip) })
	for revision, peers := range [][]wire.NetPeer{{old}, {old, moved}, {moved, old}} {
		require.NoError(t, a.Apply(list(uint64(revision+1), peers...)))
	}
	index, _ := a.Index(idC)
	got, ok, err := maps.Sources.Lookup(bpf.AddrFrom(netip.MustParseAddr("10.30.0.7")))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, bpf.Source{Generation: wire.Generation{Placement: 2, Move: 1}.Packed(), Peer: index}, got)
	require.Len(t, learned, 2, "told once when it appears and once when it moves")
}

func TestFreedIndicesRest(t *testing.T) {
	x := indices{used: map[uint32]bool{}, next: 1}
	first, err := x.take()
	require.NoError(t, err)
	require.EqualValues(t, 1, first)
	delete(x.used, first)
	for range bpf.MaxPeers - 2 {
		i, err := x.take()
		require.NoError(t, err)
		require.NotEqual(t, first, i)
	}
	again, err := x.take()
	require.NoError(t, err)
	require.Equal(t, first, again)
	_, err = x.take()
	require.ErrorContains(t, err, "taken")
}

// TestHostsOfPeersAreSources: a host process of another worker calls under that worker's gateway addresses.
func TestHostsOfPeersAreSources(t *testing.T) {
	a := newSide(t, newMaps(t), idA, newKey(t), 1, whereA)
	entry := peerOf(idB, newKey(t), whereB)
	entry.Subnets = []netip.Prefix{
		netip.MustParsePrefix("10.18.0.64/26"), netip.MustParsePrefix("fc00::100/120"), netip.MustParsePrefix("10.18.0.9/32"), {},
	}
	require.NoError(t, a.Apply(list(1, entry)))
	index, _ := a.Index(idB)
	var err error
	var have []string
	for addr, s := range a.cfg.Maps.Sources.All(&err) {
		require.Equal(t, index, s.Peer)
		have = append(have, addr.String())
	}
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"10.18.0.65", "fc00::101"}, have)

	entry.Subnets = entry.Subnets[:1]
	require.NoError(t, a.Apply(list(2, entry)))
	a.reap()
	_, ok, err := a.cfg.Maps.Sources.Lookup(bpf.AddrFrom(netip.MustParseAddr("fc00::101")))
	require.NoError(t, err)
	require.False(t, ok)
}
