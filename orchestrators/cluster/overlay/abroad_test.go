// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// stranger is another cluster's worker x<n>, which is the source of an instance.
func stranger(n int) wire.NetPeer {
	return wire.NetPeer{WorkerID: fmt.Sprint("x", n), PublicKey: []byte(strings.Repeat("x", 32)),
		Subnets: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.19.%d.0/26", n))},
		Sources: []wire.NetSource{{InstanceKey: wire.InstanceKey{ServiceID: "s", Number: 7}, Generation: gen(1), InstanceIP: inst(7)}}}
}

// elsewhere is a service of which instance 7 runs on x1.
func elsewhere(complete bool, instances ...wire.RouteInstance) wire.AbroadService {
	return wire.AbroadService{ServiceID: "s", JobName: "a.b.c.d", Organization: "o", Complete: complete, Instances: instances,
		Addresses: []wire.ServiceAddress{{Policy: wire.PolicyRoundRobin, Address: svcIP}}}
}

func onX1(placement uint32) wire.RouteInstance {
	return wire.RouteInstance{Number: 7, Generation: wire.Generation{Placement: placement, Move: 1}, InstanceIP: inst(7), Peer: "x1",
		NamespaceIP: netip.MustParseAddr("10.19.1.9"), Tag: 9, State: wire.StateRunning}
}

func abroadOf(services ...wire.AbroadService) wire.ClusterAbroad {
	return wire.ClusterAbroad{Full: true, Services: services, Workers: []wire.NetPeer{stranger(1)},
		Answers: []wire.AbroadAnswer{{Address: svcIP, ServiceID: "s"}}}
}

// TestServiceOfAnotherClusterIsAskedForAndTold: nothing is said of what root may still tell.
func TestServiceOfAnotherClusterIsAskedForAndTold(t *testing.T) {
	b := newBed(time.Time{})
	b.endpoints(1)
	b.Flush(now)
	b.ApplyAbroad(wire.ClusterAbroad{Full: true})
	b.SetAsking(true)
	require.Empty(t, show(b.interest(1, wire.Stamp{}, want(svcIP)))[1:], "no answer while root may know one")
	e := b.Export(now)
	require.Equal(t, []string{"w1"}, e.Wants[svcIP].Workers)
	require.Contains(t, e.Workers, "w1")
	require.Empty(t, e.Offers)
	require.True(t, e.Settled)

	b.ApplyAbroad(abroadOf(elsewhere(false)))
	require.Empty(t, show(b.Flush(now)), "the other cluster has not told of its instances yet")
	b.ApplyAbroad(abroadOf(elsewhere(true, onX1(1))))
	require.Equal(t, []string{"w1 peers x1[10.30.1.7]", "w1 routes 7@x1/1.1", "w1 10.30.0.1 service"}, show(b.Flush(now)))

	// Root goes: what is known stays, what is not cannot be told.
	b.SetAsking(false)
	require.Empty(t, b.Flush(now))
	other := netip.MustParseAddr("10.30.0.9")
	require.Contains(t, show(b.interest(1, wire.Stamp{}, want(svcIP), want(other))), "w1 10.30.0.9 unavailable")
	// It is back and nobody has it.
	b.SetAsking(true)
	m := abroadOf(elsewhere(true, onX1(1)))
	m.Answers = append(m.Answers, wire.AbroadAnswer{Address: other})
	b.ApplyAbroad(m)
	require.Equal(t, []string{"w1 10.30.0.9 none"}, show(b.Flush(now)))
}

func TestInstanceOfOtherClusterGoesOnlyWhenAllHaveTold(t *testing.T) {
	b := newBed(time.Time{})
	b.ApplyAbroad(abroadOf(elsewhere(true, onX1(1))))
	b.endpoints(1)
	b.interest(1, wire.Stamp{}, want(svcIP))
	b.Flush(now)
	b.ApplyAbroad(abroadOf(elsewhere(false)))
	require.Empty(t, show(b.Flush(now)), "a root that has lost what it was told takes no route away")
	b.ApplyAbroad(abroadOf(elsewhere(true)))
	require.Equal(t, []string{"w1 peers ", "w1 routes "}, show(b.Flush(now)))
	b.ApplyAbroad(wire.ClusterAbroad{Full: true, Answers: []wire.AbroadAnswer{{Address: svcIP}}})
	require.Equal(t, []string{"w1 gone s", "w1 10.30.0.1 none"}, show(b.Flush(now)))
	require.NotContains(t, b.workers, "x1")
}

func TestCallersOfOtherClustersArePeers(t *testing.T) {
	b := newBed(time.Time{})
	b.service(at(2, 0, 1, wire.StateRunning))
	b.endpoints(1)
	b.endpoints(2, ep(2, 0, 1))
	b.endpoints(3)
	b.Flush(now)
	called := elsewhere(true)
	called.Callers, called.Offer = []string{"x1"}, true
	b.ApplyAbroad(abroadOf(called))
	require.Equal(t, []string{"w2 peers x1[10.30.1.7]"}, show(b.Flush(now)))
	e := b.Export(now)
	require.True(t, e.Settled)
	require.Len(t, e.Offers["s"].Instances, 1)
	require.Equal(t, "w2", e.Offers["s"].Instances[0].Peer)
	require.Contains(t, e.Workers, "w2")
	require.NotContains(t, e.Workers, "w1", "which no other cluster has to do with")
	// The caller goes.
	b.ApplyAbroad(wire.ClusterAbroad{Full: true})
	require.Equal(t, []string{"w2 peers "}, show(b.Flush(now)))
	require.Empty(t, b.Export(now).Offers)
}

// TestHigherPlacementElsewhereWins: an instance that was given to another cluster is reached there once it runs, and never here again.
func TestHigherPlacementElsewhereWins(t *testing.T) {
	b := newBed(time.Time{})
	b.service(at(2, 7, 1, wire.StateRunning))
	b.endpoints(1)
	b.endpoints(2, ep(2, 7, 1))
	b.endpoints(3)
	b.interest(1, wire.Stamp{}, want(svcIP))
	b.Flush(now)
	waits := onX1(2)
	waits.Peer = ""
	b.ApplyAbroad(abroadOf(elsewhere(true, waits)))
	require.Empty(t, show(b.Flush(now)), "the replacement does not run yet")
	b.ApplyAbroad(abroadOf(elsewhere(true, onX1(2))))
	require.Equal(t, []string{"w1 peers w2[10.30.1.7] x1[10.30.1.7]", "w1 routes 7@x1/2.1"}, show(b.Flush(now)))
	b.ApplyAbroad(abroadOf(elsewhere(true, waits)))
	require.Equal(t, []string{"w1 peers w2[10.30.1.7]", "w1 routes "}, show(b.Flush(now)), "it failed: the older copy stays fenced")
}

func TestHeldAbroadStartsAsItWas(t *testing.T) {
	b := newBed(time.Time{})
	b.ApplyAbroad(abroadOf(elsewhere(true, onX1(1))))
	fresh := newBed(time.Time{})
	fresh.ApplyAbroad(b.Abroad())
	require.Equal(t, b.Abroad(), fresh.Abroad())
	fresh.endpoints(1)
	require.Contains(t, show(fresh.interest(1, wire.Stamp{}, want(svcIP))), "w1 routes 7@x1/1.1")
}
