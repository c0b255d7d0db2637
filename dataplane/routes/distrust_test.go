// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// withoutOne is threeInstances when new flows are not given to the instance on peer B.
var withoutOne = strings.Replace(threeInstances, "[1 2 3]", "[1 3]", 1)

func stale(w *world) { w.Distrust(peerB, netip.MustParseAddr("10.18.1.3"), 0x101) }

func TestAStaleRouteIsPassedOver(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Apply(three(w, 1)))
	w.Want(netip.MustParseAddr(rr))
	w.published = 0
	stale(w)
	w.holds(withoutOne)
	require.Equal(t, 1, w.published, "the cluster is not asked")
	require.Equal(t, wire.Stamp{}, w.Interest().Addresses[0].Held, "the cluster would not say it again")
	stale(w)
	require.Equal(t, 1, w.published, "each packet asks anew")

	// The same again is no news: whoever is wrong, the peer drops what comes.
	require.NoError(t, w.Apply(three(w, 2)))
	w.holds(withoutOne)
	require.Equal(t, wire.Stamp{Epoch: 1, Revision: 2}, w.Interest().Addresses[0].Held)

	// A newer generation is.
	next := three(w, 3)
	next.Instances[2] = instance(1, 2, peerB)
	require.NoError(t, w.Apply(next))
	require.Contains(t, w.dump(), "#1 gen 2.1")
	require.EqualValues(t, 3, w.kernel.services[1].Count)
}

func TestAStaleRouteThatMovesIsUsedAgain(t *testing.T) {
	for name, change := range map[string]func(*wire.RouteInstance){
		"tag":       func(i *wire.RouteInstance) { i.Tag++ },
		"address":   func(i *wire.RouteInstance) { i.NamespaceIP = netip.MustParseAddr("10.18.1.9") },
		"worker":    func(i *wire.RouteInstance) { i.Peer = peerC },
		"new owner": func(i *wire.RouteInstance) { i.NamespaceIPv6 = netip.MustParseAddr("fc00::9") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			require.NoError(t, w.Apply(three(w, 1)))
			stale(w)
			require.EqualValues(t, 2, w.kernel.services[1].Count)
			next := three(w, 2)
			change(&next.Instances[2])
			require.NoError(t, w.Apply(next))
			require.EqualValues(t, 3, w.kernel.services[1].Count)
			require.Empty(t, w.services[hello].distrusted)
		})
	}
}

func TestDistrustEnds(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Apply(three(w, 1)))
	// Longer each time that it is called stale again.
	for wait := distrustedLeast; wait < 4*distrustedMost; wait *= 2 {
		stale(w)
		w.clock = w.clock.Add(min(wait, distrustedMost) - time.Second)
		stale(w) // a packet of before
		require.NoError(t, w.Expire(w.clock))
		w.holds(withoutOne)
		w.clock = w.clock.Add(time.Second)
		require.NoError(t, w.Expire(w.clock))
		w.holds(threeInstances)
	}
	// What is long ago is forgotten.
	w.clock = w.clock.Add(distrustedMost + time.Second)
	require.NoError(t, w.Expire(w.clock))
	require.Empty(t, w.services[hello].distrusted)
}

// TestAWrongWordIsNotBelieved: a worker can speak for its own instances only, and for what it was really sent.
func TestAWrongWordIsNotBelieved(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Apply(three(w, 1)))
	w.published = 0
	there := netip.MustParseAddr("10.18.1.3")
	w.tripwire(func() {
		w.Distrust(peerC, there, 0x101)
		w.Distrust(peerB, there, 0x100)
		w.Distrust(peerB, netip.MustParseAddr("10.18.1.4"), 0x101)
		w.Distrust(self, netip.MustParseAddr("10.18.0.2"), 0xabc)
		w.Distrust(peerB, netip.Addr{}, 0x101)
	})
	require.Zero(t, w.published)
}
