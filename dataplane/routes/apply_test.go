// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const threeInstances = `
service 1 11.. [1 2 3]
backend 1 of 1: #0 gen 1.1 ns 10.18.0.2 inst 10.30.0.1 peer 0 if 40 tag abc
backend 2 of 1: #1 gen 1.1 ns 10.18.1.3 inst 10.30.0.2 peer 1 if 0 tag 101
backend 3 of 1: #2 gen 1.1 ns 10.18.2.4 inst 10.30.0.3 peer 2 if 0 tag 102
vip 10.30.0.1 policy 4 service 1 backend 1
vip 10.30.0.2 policy 4 service 1 backend 2
vip 10.30.0.3 policy 4 service 1 backend 3
vip 10.30.1.1 policy 1 service 1 backend 0
vip 10.30.2.1 policy 2 service 1 backend 0
vip fdff:3000::1 policy 3 service 1 backend 0
`

func three(w *world, revision uint64) wire.NetRoutes {
	w.attach(0, 1, 40, 0xabc)
	return routesOf(revision, instance(2, 1, peerC), instance(0, 1, self), instance(1, 1, peerB))
}

func TestRoutesBecomeMaps(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Apply(three(w, 1)))
	w.holds(threeInstances)
	require.Contains(t, w.answers, rr+" true")
	require.Contains(t, w.answers, "10.30.0.2 true", "addresses that nobody asked for come along")
}

func TestARestartChangesNothing(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Apply(three(w, 1)))
	w.Want(netip.MustParseAddr(rr))
	saved := snapshotOf(w.All())
	w.restart()
	w.holds(threeInstances)

	w.tripwire(func() {
		require.NoError(t, w.Restore(saved))
		require.NoError(t, w.Apply(three(w, 2)))
	})
	require.Equal(t, []wire.InterestAddress{{Address: netip.MustParseAddr(rr), Held: wire.Stamp{Epoch: 1, Revision: 2}}}, w.Interest().Addresses)
}

func TestALostStateFileIsNoOutage(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Apply(three(w, 7)))
	w.restart()
	require.NoError(t, w.Restore(Snapshot{}))
	w.holds(threeInstances)
	// The cluster hears of the service, with nothing held, and sends the routes again.
	require.Equal(t, []wire.InterestAddress{{Address: netip.MustParseAddr("10.30.0.1")}}, w.Interest().Addresses)
	w.tripwire(func() { require.NoError(t, w.Apply(three(w, 7))) })
	w.holds(threeInstances)
}

// tripwire fails the test if f writes to a map, by taking the maps' place while f runs.
func (w *world) tripwire(f func()) {
	w.t.Helper()
	empty, err := bpf.NewMaps()
	require.NoError(w.t, err)
	defer func() { _ = empty.Close() }()
	before := w.dump()
	real := w.maps
	w.maps, w.kernel.maps = empty, empty
	f()
	require.Equal(w.t, "\n", w.dump(), "something was written although nothing has changed")
	w.maps, w.kernel.maps = real, real
	require.Equal(w.t, before, w.dump())
}

func TestTheSetChangesAndIndicesStay(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Apply(three(w, 1)))
	// Instance 1 moves to C, and 2 goes.
	require.NoError(t, w.Apply(routesOf(2, instance(0, 1, self), instance(1, 2, peerC))))
	w.holds(`
service 1 11.. [1 4]
backend 1 of 1: #0 gen 1.1 ns 10.18.0.2 inst 10.30.0.1 peer 0 if 40 tag abc
backend 4 of 1: #1 gen 2.1 ns 10.18.2.3 inst 10.30.0.2 peer 2 if 0 tag 101
vip 10.30.0.1 policy 4 service 1 backend 1
vip 10.30.0.2 policy 4 service 1 backend 4
vip 10.30.1.1 policy 1 service 1 backend 0
vip 10.30.2.1 policy 2 service 1 backend 0
vip fdff:3000::1 policy 3 service 1 backend 0
`)
	require.NoError(t, w.Apply(routesOf(1, instance(2, 1, peerC))), "old routes are no error")
	require.Contains(t, w.dump(), "service 1 11.. [1 4]", "and change nothing")

	require.NoError(t, w.Apply(routesOf(3)))
	w.holds(`
service 1 11.. []
vip 10.30.1.1 policy 1 service 1 backend 0
vip 10.30.2.1 policy 2 service 1 backend 0
vip fdff:3000::1 policy 3 service 1 backend 0
`)
	gone := routesOf(4)
	gone.Gone = true
	require.NoError(t, w.Apply(gone))
	w.holds("\n")
}

func TestWhatIsNotReadyIsNotChosen(t *testing.T) {
	w := newWorld(t)
	w.peers[peerC] = met{2, false}
	starting := instance(3, 1, peerB)
	starting.State = wire.StateCreated
	noTag := instance(4, 1, peerB)
	noTag.Tag = 0
	require.NoError(t, w.Apply(routesOf(1,
		instance(0, 1, self), // not attached
		instance(1, 1, peerB),
		instance(2, 1, peerC), // never met
		starting,
		noTag,
		instance(5, 1, "dddddddddddddddddddddddd"),   // unknown
		instance(6, 1, peerB), instance(6, 2, peerC), // two copies: the newer counts
	)))
	const first = `
service 1 11.. [1]
backend 1 of 1: #1 gen 1.1 ns 10.18.1.3 inst 10.30.0.2 peer 1 if 0 tag 101
backend 2 of 1: #2 gen 1.1 ns 10.18.2.4 inst 10.30.0.3 peer 2 if 0 tag 102
backend 3 of 1: #3 gen 1.1 ns 10.18.1.5 inst 10.30.0.4 peer 1 if 0 tag 103
backend 4 of 1: #6 gen 2.1 ns 10.18.2.8 inst 10.30.0.7 peer 2 if 0 tag 106
vip 10.30.0.2 policy 4 service 1 backend 1
vip 10.30.0.4 policy 4 service 1 backend 3
vip 10.30.1.1 policy 1 service 1 backend 0
vip 10.30.2.1 policy 2 service 1 backend 0
vip fdff:3000::1 policy 3 service 1 backend 0
`
	require.NotContains(t, w.dump(), "vip "+rr, "the first flow does not wait for all instances that it can be spread over")
	w.end() // one peer that does not answer does not keep the others from serving
	w.holds(first)

	w.peers[peerC] = met{2, true}
	w.PeersChanged(peerC)
	w.attach(0, 1, 40, 0xabc)
	w.EndpointsChanged()
	require.Contains(t, w.dump(), "service 1 11.. [5 1 2 4]")
	require.Contains(t, w.dump(), "vip 10.30.0.3 policy 4 service 1 backend 2")
	require.Contains(t, w.dump(), "vip 10.30.0.1 policy 4 service 1 backend 5")
}

func TestPacketsWaitForTheFirstPeer(t *testing.T) {
	w := newWorld(t)
	w.peers[peerB] = met{1, false}
	require.NoError(t, w.Apply(routesOf(1, instance(1, 1, peerB))))
	require.NotContains(t, w.dump(), "vip")
	require.Empty(t, w.answers)
	w.Want(netip.MustParseAddr(rr))
	require.Zero(t, w.published, "the answer is known: nobody is asked")

	w.peers[peerB] = met{1, true}
	w.PeersChanged(peerB)
	require.Contains(t, w.dump(), "vip "+rr)
	require.Contains(t, w.answers, rr+" true")

	// And not for ever.
	w = newWorld(t)
	w.peers[peerB] = met{1, false}
	require.NoError(t, w.Apply(routesOf(1, instance(1, 1, peerB))))
	first := w.end
	first()
	require.NotContains(t, w.dump(), "vip", "there is nobody yet who could serve")
	first()
	require.NotContains(t, w.dump(), "vip", "a wait that is over counts twice")
	w.end()
	require.Contains(t, w.dump(), "vip "+rr)
	require.Contains(t, w.dump(), "service 1 11.. []")
	require.Equal(t, []time.Duration{allPeersWait, peerWait - allPeersWait}, w.waits)
}

// TestNobodyWaitsForAPeerOutOfReach: callers of its instances get their answer at once, those of others are not kept waiting.
func TestNobodyWaitsForAPeerOutOfReach(t *testing.T) {
	w := newWorld(t)
	w.peers[peerC], w.unreachable[peerC] = met{2, false}, true
	require.NoError(t, w.Apply(routesOf(1, instance(1, 1, peerB), instance(2, 1, peerC))))
	require.Empty(t, w.waits)
	require.Contains(t, w.dump(), "vip "+rr)
	require.Contains(t, w.dump(), "service 1 11.. [1]")
	require.Contains(t, w.dump(), "vip 10.30.0.3 policy 4 service 1 backend 2")

	w = newWorld(t)
	w.peers[peerC] = met{2, false}
	require.NoError(t, w.Apply(routesOf(1, instance(2, 1, peerC))))
	require.NotContains(t, w.dump(), "vip")
	w.unreachable[peerC] = true // which turns out while they wait
	w.PeersChanged(peerC)
	require.Contains(t, w.dump(), "vip "+rr)
	require.Contains(t, w.dump(), "service 1 11.. []")
}

func TestALowerGenerationNeverBecomesARoute(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Apply(routesOf(1, instance(1, 2, peerC))))
	require.NoError(t, w.Apply(routesOf(2, instance(1, 1, peerB))))
	require.Contains(t, w.dump(), "#1 gen 2.1")
	newEpoch := routesOf(1, instance(1, 1, peerB))
	newEpoch.Epoch = 2
	require.NoError(t, w.Apply(newEpoch))
	require.Contains(t, w.dump(), "#1 gen 1.1", "a restored cluster is believed")
}

func TestAnAddressThatChangesHands(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Apply(routesOf(9, instance(1, 1, peerB))))
	theirs := routesOf(1, instance(1, 1, peerC))
	theirs.ServiceID = other
	require.NoError(t, w.Apply(theirs))
	const want = `
service 1 11.. [1]
service 2 22.. [2]
backend 1 of 1: #1 gen 1.1 ns 10.18.1.3 inst 10.30.0.2 peer 1 if 0 tag 101
backend 2 of 2: #1 gen 1.1 ns 10.18.2.3 inst 10.30.0.2 peer 2 if 0 tag 101
vip 10.30.0.2 policy 4 service 2 backend 2
vip 10.30.1.1 policy 1 service 2 backend 0
vip 10.30.2.1 policy 2 service 2 backend 0
vip fdff:3000::1 policy 3 service 2 backend 0
`
	w.holds(want)
	w.PeersChanged(peerB)
	w.holds(want)
	gone := routesOf(10)
	gone.Gone = true
	require.NoError(t, w.Apply(gone))
	require.Contains(t, w.dump(), "vip 10.30.1.1 policy 1 service 2", "the old service takes its successor's address along")
}

func TestRoutesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	newer := routesOf(1)
	newer.Format = wire.Format + 1
	require.ErrorIs(t, w.Apply(newer), wire.ErrNewerFormat)
	bad := routesOf(1)
	bad.ServiceID = "x/../y"
	require.Error(t, w.Apply(bad))
	many := routesOf(1)
	many.Instances = make([]wire.RouteInstance, maxInstances+1)
	require.ErrorContains(t, w.Apply(many), "1024")
	odd := routesOf(1, wire.RouteInstance{}, wire.RouteInstance{Number: -1, Peer: "?", Tag: 1 << 31})
	odd.Addresses = []wire.ServiceAddress{{}, {Policy: "?", Address: netip.MustParseAddr("10.30.9.9")}, {Policy: wire.PolicyRoundRobin, Address: netip.MustParseAddr("127.0.0.1")}}
	require.NoError(t, w.Apply(odd))
	w.holds("service 1 11.. []\n")
}

func TestAHalfDoneWriteIsTakenBack(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Apply(three(w, 1)))
	require.NoError(t, w.maps.Backends.Put(9, bpf.Backend{Generation: 5, Service: 77}))
	require.NoError(t, w.maps.VIPs.Put(bpf.AddrFrom(netip.MustParseAddr("10.30.7.7")), bpf.VIP{Service: 77, Policy: bpf.PolicyRoundRobin}))
	w.restart()
	w.holds(threeInstances)
}

func TestIndicesThatFlowsNameRest(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.maps.Flows().Put(bpf.FlowKey{Proto: 6}, bpf.Flow{Backend: 30}))
	w.restart()
	require.NoError(t, w.Apply(routesOf(1, instance(1, 1, peerB))))
	require.Contains(t, w.dump(), "backend 31 of 1")

	s := newSlots("places", 4)
	var got []uint32
	for range 3 {
		i, err := s.take()
		require.NoError(t, err)
		got = append(got, i)
	}
	_, err := s.take()
	require.ErrorContains(t, err, "all 3 places")
	s.free(2)
	s.free(1)
	for range 2 {
		i, err := s.take()
		require.NoError(t, err)
		got = append(got, i)
	}
	require.Equal(t, []uint32{1, 2, 3, 2, 1}, got)
}

// TestFlowsOfWhatIsGoneAreEnded: who had a place is named once it is somebody else's or nobody's, or nobody is there; who drains keeps it.
func TestFlowsOfWhatIsGoneAreEnded(t *testing.T) {
	w := newWorld(t)
	var gone []bpf.Owner
	w.cfg.Gone = func(o []bpf.Owner) { gone = append(gone, o...) }
	require.NoError(t, w.Apply(three(w, 1)))
	require.Empty(t, gone)

	draining := instance(2, 1, peerC)
	draining.State = wire.StateUndeployed
	require.NoError(t, w.Apply(routesOf(2, instance(0, 1, self), instance(1, 1, peerB), draining)))
	require.Empty(t, gone, "one that drains keeps its flows")
	require.Contains(t, w.dump(), "service 1 11.. [1 2]\n", "and gets no new ones")

	require.NoError(t, w.Apply(routesOf(3, instance(0, 1, self), instance(1, 2, peerC))))
	require.ElementsMatch(t, []bpf.Owner{{Backend: 2, Slot: 1}, {Backend: 3, Slot: 1}}, gone)

	gone = nil
	w.Distrust(peerC, instance(1, 2, peerC).NamespaceIP, instance(1, 2, peerC).Tag)
	require.Equal(t, []bpf.Owner{{Backend: 4, Slot: 1}}, gone)
}
