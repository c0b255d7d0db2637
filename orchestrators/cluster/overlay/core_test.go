// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

var (
	now   = time.Unix(1_000_000, 0)
	svcIP = netip.MustParseAddr("10.30.0.1")
)

func inst(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 30, 1, byte(n)}) }

func gen(move uint32) wire.Generation { return wire.Generation{Placement: 1, Move: move} }

// bed is a core with workers w1, w2, w3, whose NetManagers are numbered likewise.
type bed struct {
	*Core
	rev uint64
	// changes has workers say that they take changes of lists of peers and of routes.
	changes bool
}

func newBed(grace time.Time) *bed {
	b := &bed{Core: NewCore(7, grace)}
	for i := 1; i <= 3; i++ {
		b.SetWorker(fmt.Sprint("w", i), []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.18.%d.0/26", i))})
	}
	return b
}

func (b *bed) service(copies ...Copy) {
	b.SetService(Service{ID: "s", JobName: "a.b.c.d", Copies: copies,
		Addresses: []wire.ServiceAddress{{Policy: wire.PolicyRoundRobin, Address: svcIP}}})
}

func at(worker, number int, move uint32, state wire.State) Copy {
	return Copy{Number: number, Generation: gen(move), Worker: fmt.Sprint("w", worker), State: state, InstanceIP: inst(number)}
}

func ep(worker, number int, move uint32) wire.NetEndpoint {
	return wire.NetEndpoint{InstanceKey: wire.InstanceKey{ServiceID: "s", Number: number}, Generation: gen(move),
		NamespaceIP: netip.AddrFrom4([4]byte{10, 18, byte(worker), byte(10 + number)}), Tag: uint32(100*worker + number + 1)}
}

func (b *bed) endpoints(worker int, eps ...wire.NetEndpoint) (bool, []string) {
	b.rev++
	return b.SetEndpoints(fmt.Sprint("w", worker), wire.NetEndpoints{Header: wire.NewHeader(wire.Stamp{Epoch: 1, Revision: b.rev}),
		PublicKey: []byte(strings.Repeat(fmt.Sprint(worker), 32)), Outer: []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(worker)}), 50103)},
		Endpoints: eps}, true)
}

func (b *bed) interest(worker int, peers wire.Stamp, list ...wire.InterestAddress) []Message {
	b.rev++
	out, _ := b.SetInterest(fmt.Sprint("w", worker), wire.NetInterest{Header: wire.NewHeader(wire.Stamp{Epoch: 1, Revision: b.rev}),
		Addresses: list, Peers: peers, PeerChanges: b.changes, RouteChanges: b.changes}, now)
	return out
}

func want(a netip.Addr) wire.InterestAddress { return wire.InterestAddress{Address: a} }

// show writes messages as one short line each.
func show(out []Message) (lines []string) {
	for _, m := range out {
		switch p := received(m).(type) {
		case wire.NetPeers:
			var peers []string
			for _, x := range p.Peers {
				var src []string
				for _, s := range x.Sources {
					src = append(src, s.InstanceIP.String())
				}
				peers = append(peers, x.WorkerID+"["+strings.Join(src, " ")+"]")
			}
			lines = append(lines, m.Worker+" peers "+strings.Join(peers, " "))
		case wire.NetRoutes:
			var ins []string
			for _, x := range p.Instances {
				ins = append(ins, fmt.Sprintf("%d@%s/%s", x.Number, x.Peer, x.Generation))
			}
			line := m.Worker + " routes " + strings.Join(ins, " ")
			if p.Gone {
				line = m.Worker + " gone " + p.ServiceID
			}
			lines = append(lines, line)
		case wire.NetResolved:
			for _, e := range p.Entries {
				lines = append(lines, fmt.Sprintf("%s %s %s", m.Worker, e.Address, e.Resolution))
			}
		}
	}
	return lines
}

func TestAnswerToAMissIsCompleteAndInOrder(t *testing.T) {
	b := newBed(time.Time{})
	b.service(at(1, 0, 1, wire.StateRunning), at(2, 1, 1, wire.StateRunning), at(3, 2, 1, wire.StateCreating))
	b.endpoints(1, ep(1, 0, 1))
	b.endpoints(2, ep(2, 1, 1))
	b.endpoints(3)
	b.Flush(now)
	require.Equal(t, []string{
		"w1 peers w3[]", // who runs the service learns the declarer first
		"w2 peers w3[]",
		"w3 peers w1[10.30.1.0] w2[10.30.1.1]",
		"w3 routes 0@w1/1.1 1@w2/1.1",
		"w3 10.30.0.1 service",
		"w3 10.30.9.9 none",
	}, show(b.interest(3, wire.Stamp{}, want(svcIP), want(netip.MustParseAddr("10.30.9.9")))))
	require.Empty(t, b.Flush(now), "nothing is said twice")
}

func TestHeldStampsSpareWhatIsKnown(t *testing.T) {
	b := newBed(time.Time{})
	b.service(at(1, 0, 1, wire.StateRunning))
	b.endpoints(1, ep(1, 0, 1))
	b.endpoints(3)
	first := b.interest(3, wire.Stamp{}, want(svcIP))
	peers := received(first[1]).(wire.NetPeers).Stamp
	routes := received(first[2]).(wire.NetRoutes).Stamp
	require.Equal(t, []string{"w3 10.30.0.1 service"}, show(b.interest(3, peers, wire.InterestAddress{Address: svcIP, Held: routes})))
	require.Equal(t, []string{"w3 peers w1[10.30.1.0]", "w3 routes 0@w1/1.1", "w3 10.30.0.1 service"},
		show(b.interest(3, wire.Stamp{}, want(svcIP))), "who lost it is sent it again")
}

func TestInstanceComesMovesAndGoes(t *testing.T) {
	b := newBed(time.Time{})
	b.service(at(1, 0, 1, wire.StateCreating))
	for w := 1; w <= 3; w++ {
		b.endpoints(w)
		b.interest(w, wire.Stamp{})
	}
	b.Flush(now)
	require.Equal(t, []string{"w3 routes ", "w3 10.30.0.1 service"}, show(b.interest(3, b.workers["w3"].peersSent.stamp, want(svcIP))))

	b.endpoints(1, ep(1, 0, 1))
	require.Equal(t, []string{"w1 peers w3[]", "w3 peers w1[10.30.1.0]"}, show(b.Flush(now)), "attached, not yet running")
	b.service(at(1, 0, 1, wire.StateRunning))
	require.Equal(t, []string{"w3 routes 0@w1/1.1"}, show(b.Flush(now)))

	// It is given to w2 with a higher generation; the older copy serves until the new one does.
	b.service(at(1, 0, 1, wire.StateRunning), at(2, 0, 2, wire.StateCreating))
	require.Empty(t, show(b.Flush(now)))
	b.endpoints(2, ep(2, 0, 2))
	b.service(at(1, 0, 1, wire.StateRunning), at(2, 0, 2, wire.StateRunning))
	require.Equal(t, []string{"w2 peers w3[]", "w3 peers w1[10.30.1.0] w2[10.30.1.0]", "w3 routes 0@w2/1.2"}, show(b.Flush(now)))

	// A lower generation never becomes a route again.
	b.service(at(1, 0, 1, wire.StateRunning), at(2, 0, 2, wire.StateFailed))
	require.Equal(t, []string{"w3 routes "}, show(b.Flush(now)))

	b.RemoveService("s")
	require.Equal(t, []string{"w1 peers ", "w2 peers ", "w3 peers ", "w3 gone s", "w3 10.30.0.1 none"}, show(b.Flush(now)))
}

func TestAddressAskedForBeforeItsServiceExists(t *testing.T) {
	b := newBed(time.Time{})
	b.endpoints(3)
	require.Equal(t, []string{"w3 peers ", "w3 10.30.0.1 none"}, show(b.interest(3, wire.Stamp{}, want(svcIP))))
	b.endpoints(1, ep(1, 0, 1))
	b.service(at(1, 0, 1, wire.StateRunning))
	require.Equal(t, []string{"w1 peers w3[]", "w3 peers w1[10.30.1.0]", "w3 routes 0@w1/1.1", "w3 10.30.0.1 service"}, show(b.Flush(now)))
}

func TestCallerIsASourceAtItsPeers(t *testing.T) {
	b := newBed(time.Time{})
	b.service(at(1, 0, 1, wire.StateRunning))
	b.SetService(Service{ID: "c", Copies: []Copy{{Number: 0, Generation: gen(1), Worker: "w3", State: wire.StateRunning, InstanceIP: inst(200)}}})
	b.endpoints(1, ep(1, 0, 1))
	b.endpoints(3)
	b.interest(1, wire.Stamp{})
	b.interest(3, wire.Stamp{}, want(svcIP))
	b.Flush(now)
	caller := wire.NetEndpoint{InstanceKey: wire.InstanceKey{ServiceID: "c"}, Generation: gen(1), NamespaceIP: netip.MustParseAddr("10.18.3.9"), Tag: 5}
	b.endpoints(3, caller)
	require.Equal(t, []string{"w1 peers w3[10.30.1.200]"}, show(b.Flush(now)))
}

// TestPeersHearOfAWorkersNAT, and again when it finds out more; of a kind that nobody knows they hear nothing.
func TestPeersHearOfAWorkersNAT(t *testing.T) {
	b := newBed(time.Time{})
	b.service(at(1, 0, 1, wire.StateRunning))
	b.endpoints(3)
	tell := func(nat wire.NAT) (bool, []string) {
		b.rev++
		return b.SetEndpoints("w1", wire.NetEndpoints{
			Header: wire.NewHeader(wire.Stamp{Epoch: 1, Revision: b.rev}), PublicKey: make([]byte, publicKeyLength),
			NAT: nat, Endpoints: []wire.NetEndpoint{ep(1, 0, 1)},
		}, true)
	}
	tell(wire.NATPlain)
	heard := func(out []Message) []wire.NAT {
		var all []wire.NAT
		for _, m := range out {
			if list, ok := received(m).(wire.NetPeers); ok && m.Worker == "w3" {
				for _, p := range list.Peers {
					all = append(all, p.NAT)
				}
			}
		}
		return all
	}
	require.Equal(t, []wire.NAT{wire.NATPlain}, heard(b.interest(3, wire.Stamp{}, want(svcIP))))
	changed, _ := tell(wire.NATSymmetric)
	require.True(t, changed)
	require.Equal(t, []wire.NAT{wire.NATSymmetric}, heard(b.Flush(now)))
	_, refused := tell("of gold")
	require.Len(t, refused, 1)
	require.Equal(t, []wire.NAT{wire.NATNone}, heard(b.Flush(now)))
}

func TestNoServiceTakesTheAddressOfAnother(t *testing.T) {
	b := newBed(time.Time{})
	b.service(at(1, 0, 1, wire.StateRunning))
	b.SetService(Service{ID: "thief", Addresses: []wire.ServiceAddress{{Policy: wire.PolicyRoundRobin, Address: svcIP}},
		Copies: []Copy{{Number: 0, Generation: gen(9), Worker: "w2", State: wire.StateRunning, InstanceIP: inst(0)}}})
	require.Equal(t, "s", b.addresses[svcIP])
	require.Equal(t, "s", b.addresses[inst(0)])
	b.RemoveService("thief")
	require.Equal(t, "s", b.addresses[svcIP])
}

func TestInstanceIPResolvesToItsService(t *testing.T) {
	b := newBed(time.Time{})
	b.service(at(1, 4, 1, wire.StateRunning))
	b.endpoints(1, ep(1, 4, 1))
	require.Contains(t, show(b.interest(3, wire.Stamp{}, want(inst(4)))), "w3 10.30.1.4 service")
}

func TestEndpointsAreRefused(t *testing.T) {
	b := newBed(time.Time{})
	for name, tc := range map[string]struct {
		change func(*wire.NetEndpoint)
		why    string
	}{
		"foreign subnet": {func(e *wire.NetEndpoint) { e.NamespaceIP = netip.MustParseAddr("10.18.2.10") }, "outside the worker's subnets"},
		"gateway":        {func(e *wire.NetEndpoint) { e.NamespaceIP = netip.MustParseAddr("10.18.1.1") }, "outside the worker's subnets"},
		"network":        {func(e *wire.NetEndpoint) { e.NamespaceIP = netip.MustParseAddr("10.18.1.0") }, "outside the worker's subnets"},
		"no tag":         {func(e *wire.NetEndpoint) { e.Tag = 0 }, "tag 0"},
		"wide tag":       {func(e *wire.NetEndpoint) { e.Tag = 1 << 24 }, "tag 16777216"},
		"no address":     {func(e *wire.NetEndpoint) { e.NamespaceIP = netip.Addr{} }, "no IPv4"},
	} {
		t.Run(name, func(t *testing.T) {
			e := ep(1, 0, 1)
			tc.change(&e)
			_, refused := b.endpoints(1, e)
			require.Len(t, refused, 1)
			require.Contains(t, refused[0], tc.why)
			require.Empty(t, b.workers["w1"].endpoints)
		})
	}
}

func TestEndpointThatIsNotPlacedThereIsNeitherRouteNorSource(t *testing.T) {
	b := newBed(time.Time{})
	b.service(at(1, 0, 2, wire.StateRunning))
	b.endpoints(1, ep(1, 0, 1)) // a generation that is not the placed one
	b.endpoints(2, ep(2, 0, 2)) // another worker's instance
	require.Equal(t, []string{"w3 peers ", "w3 routes ", "w3 10.30.0.1 service"}, show(b.interest(3, wire.Stamp{}, want(svcIP))))
}

func TestStaleMessagesChangeNothing(t *testing.T) {
	b := newBed(time.Time{})
	b.service(at(1, 0, 1, wire.StateRunning))
	b.rev = 10
	b.endpoints(1, ep(1, 0, 1))
	b.interest(3, wire.Stamp{}, want(svcIP))
	b.rev = 3
	changed, _ := b.endpoints(1)
	require.False(t, changed)
	require.Empty(t, b.interest(3, wire.Stamp{}))
	require.Contains(t, b.workers["w3"].wants, "s")
}

func TestServiceIsHeldBackUntilItsWorkersHaveSpoken(t *testing.T) {
	b := newBed(now.Add(time.Second))
	b.service(at(1, 0, 1, wire.StateRunning), at(2, 1, 1, wire.StateRunning))
	b.endpoints(2, ep(2, 1, 1))
	require.Equal(t, []string{"w2 peers ", "w3 peers w2[10.30.1.1]", "w3 10.30.0.1 unavailable"}, show(append(b.Flush(now), b.interest(3, wire.Stamp{}, want(svcIP))...)))
	b.endpoints(1, ep(1, 0, 1))
	require.Contains(t, show(b.Flush(now)), "w3 routes 0@w1/1.1 1@w2/1.1")

	// A worker that stays silent holds nothing back for ever.
	b = newBed(now.Add(time.Second))
	b.service(at(1, 0, 1, wire.StateRunning))
	b.interest(3, wire.Stamp{}, want(svcIP))
	b.Settle()
	require.Equal(t, []string{"w3 routes ", "w3 10.30.0.1 service"}, show(b.Flush(now.Add(time.Second))))
}

func TestHigherEpochSendsEverythingAgain(t *testing.T) {
	b := newBed(time.Time{})
	b.service(at(1, 0, 1, wire.StateRunning))
	b.endpoints(1, ep(1, 0, 1))
	b.interest(3, wire.Stamp{}, want(svcIP))
	b.Flush(now)
	b.SetEpoch(9)
	out := b.Flush(now)
	require.Contains(t, show(out), "w3 routes 0@w1/1.1")
	for _, m := range out {
		if r, ok := received(m).(wire.NetRoutes); ok {
			require.Equal(t, uint64(9), r.Epoch)
		}
	}
}

func TestManyInstancesAreCutStably(t *testing.T) {
	b := newBed(time.Time{})
	var copies []Copy
	eps := map[int][]wire.NetEndpoint{}
	for n := range 120 {
		w := 1 + n%2
		copies = append(copies, at(w, n, 1, wire.StateRunning))
		e := ep(w, 0, 1)
		e.Number, e.NamespaceIP = n, netip.AddrFrom4([4]byte{10, 18, byte(w), byte(2 + n/2)})
		eps[w] = append(eps[w], e)
	}
	b.SetWorker("w1", []netip.Prefix{netip.MustParsePrefix("10.18.1.0/24")})
	b.SetWorker("w2", []netip.Prefix{netip.MustParsePrefix("10.18.2.0/24")})
	b.service(copies...)
	b.endpoints(1, eps[1]...)
	b.endpoints(2, eps[2]...)
	b.interest(1, wire.Stamp{}, want(svcIP), want(inst(101)))
	m := b.routes(b.workers["w1"], b.services["s"])
	require.Len(t, m.Instances, maxRoutes)
	own := 0
	for _, r := range m.Instances {
		if r.Peer == "w1" {
			own++
		}
	}
	require.Equal(t, 60, own, "all of its own")
	require.True(t, slices.ContainsFunc(m.Instances, func(r wire.RouteInstance) bool { return r.Number == 101 }), "what it wants by its Instance IP")
}
