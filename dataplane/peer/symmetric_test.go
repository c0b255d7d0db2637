// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/hello"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// observed is a worker behind a NAT that the observer has seen, and another that can be greeted.
func observed(t *testing.T) (a, b *side, seen func(cloudSees netip.AddrPort)) {
	t.Helper()
	a, b = pair(t)
	c, o := newCloud(t, a, idC)
	require.NoError(t, a.SetObserver(o))
	return a, b, func(at netip.AddrPort) {
		a.tap.sent = nil
		a.observer.greetNow()
		_, _ = a.greetObserver(a.clock)
		c.answer(t, a, at)
	}
}

// step lets time pass for both.
func step(d time.Duration, sides ...*side) {
	for _, s := range sides {
		s.clock = s.clock.Add(d)
	}
}

// TestASymmetricNATIsOneThatShowsTwoPortsAtATime: a NAT that has given another port shows two as well, one after the other.
func TestASymmetricNATIsOneThatShowsTwoPortsAtATime(t *testing.T) {
	a, b, cloudSees := observed(t)
	require.Equal(t, wire.NATNone, a.NAT())
	cloudSees(publicA)
	require.Equal(t, wire.NATPlain, a.NAT(), "one word is no contradiction")
	step(time.Second, a, b)
	meet(t, a, b, publicA, whereB)
	cloudSees(publicA)
	require.Equal(t, wire.NATPlain, a.NAT())

	// It gives another port: the observer sees it first, the peer later.
	step(time.Second, a, b)
	cloudSees(publicA2)
	require.Equal(t, wire.NATPlain, a.NAT())
	step(time.Second, a, b)
	meet(t, a, b, publicA2, whereB)
	require.Equal(t, wire.NATPlain, a.NAT())

	// The peer goes on seeing it elsewhere than the observer, who goes on likewise.
	told := 0
	a.SubscribePublic(func() { told++ })
	step(time.Second, a, b)
	cloudSees(publicA)
	require.Equal(t, wire.NATPlain, a.NAT())
	step(time.Second, a, b)
	recordOf(t, a, idB).greetNow()
	meet(t, a, b, publicA2, whereB)
	told = 0
	cloudSees(publicA)
	require.Equal(t, wire.NATSymmetric, a.NAT())
	require.Equal(t, 1, told, "the cluster is not told")
	require.Equal(t, wire.NATNone, b.NAT())

	// Another NAT, with one port for all.
	step(time.Second, a, b)
	recordOf(t, a, idB).greetNow()
	meet(t, a, b, publicA, whereB)
	cloudSees(publicA)
	require.Equal(t, wire.NATPlain, a.NAT())
}

// TestTheObserverAloneTellsASymmetricNAT: at its other port it sees the worker elsewhere, at the same time.
func TestTheObserverAloneTellsASymmetricNAT(t *testing.T) {
	other := netip.AddrPortFrom(whereCloud.Addr(), 10100)
	a := newSide(t, newMaps(t), idA, newKey(t), 1, whereA)
	c, o := newCloud(t, a, idC)
	o.Other = []netip.AddrPort{other}
	require.NoError(t, a.SetObserver(o))
	told := 0
	a.SubscribePublic(func() { told++ })
	ask := func(seen, seenOther netip.AddrPort) {
		t.Helper()
		a.observer.greetNow()
		_, _ = a.greetObserver(a.clock)
		asked := a.tap.take(t)
		require.Len(t, asked, 2, "it is asked at both ports")
		for i, at := range []netip.AddrPort{whereCloud, other} {
			c.sequence++
			h := hello.Hello{
				Sender: c.id, Receiver: a.id, At: hello.Position{Start: 1, Sequence: c.sequence}, Quoted: asked[i].At,
				Own: at, Observed: []netip.AddrPort{seen, seenOther}[i],
			}
			a.HandleHello(asEvent(h.Encode(c.key), at, whereA))
		}
	}
	ask(publicA, publicA)
	require.Equal(t, wire.NATPlain, a.NAT())
	step(time.Second, a)
	ask(publicA2, publicA2)
	require.Equal(t, wire.NATPlain, a.NAT(), "it has only moved")
	step(time.Second, a)
	told = 0
	ask(publicA2, publicA)
	require.Equal(t, wire.NATSymmetric, a.NAT())
	require.Equal(t, 1, told)
	require.Equal(t, []netip.AddrPort{publicA2}, a.Public(), "what only the other port sees is of no use to anybody")

	// While there is no answer, the other port is left alone.
	step(time.Minute, a)
	_, _ = a.greetObserver(a.clock)
	require.Len(t, a.tap.take(t), 2)
	step(time.Second, a)
	_, _ = a.greetObserver(a.clock)
	require.Len(t, a.tap.take(t), 1)
}

func TestWhichNATsKeepWorkersApart(t *testing.T) {
	none, plain, symmetric := wire.NATNone, wire.NATPlain, wire.NATSymmetric
	for _, c := range []struct {
		here, there wire.NAT
		want        uint32
	}{
		{none, none, bpf.PeerGreeting}, {none, symmetric, bpf.PeerGreeting}, {symmetric, none, bpf.PeerGreeting},
		{plain, plain, bpf.PeerGreeting}, {plain, none, bpf.PeerGreeting},
		{symmetric, plain, bpf.PeerOneSymmetric}, {plain, symmetric, bpf.PeerOneSymmetric},
		{symmetric, symmetric, bpf.PeerBothSymmetric},
	} {
		require.Equal(t, c.want, unmetState(c.here, c.there), "%q and %q", c.here, c.there)
	}
}

// TestAnUnreachablePeerIsGreetedOn: ever less often, and at once when anything changes. It is met when it answers.
func TestAnUnreachablePeerIsGreetedOn(t *testing.T) {
	a, b := pair(t)
	a.symmetric = true
	apart := peerOf(idB, b.cfg.Key, whereB)
	apart.NAT = wire.NATSymmetric
	require.NoError(t, a.Apply(list(2, apart)))
	var changes []string
	a.Subscribe(func(id string) { changes = append(changes, id) })
	p := recordOf(t, a, idB)

	start := a.clock
	for p.kernel.State == bpf.PeerGreeting {
		a.clock = a.greetDue(a.clock)
		require.Less(t, a.clock.Sub(start), 10*time.Second, "nobody finds out")
	}
	require.Equal(t, bpf.PeerBothSymmetric, p.kernel.State)
	require.Equal(t, []string{idB}, changes)
	require.True(t, a.Unreachable(idB))
	require.True(t, a.Peers()[0].Unreachable)
	_, met := a.Index(idB)
	require.False(t, met)

	a.clock = a.clock.Add(10 * time.Minute)
	a.greetDue(a.clock)
	a.tap.sent = nil
	greetings := 0
	for end := a.clock.Add(10 * time.Minute); a.clock.Before(end); {
		a.clock = a.greetDue(a.clock)
		greetings += len(a.tap.take(t))
	}
	require.Greater(t, greetings, 15)
	require.Less(t, greetings, 35)

	apart.Outer = []netip.AddrPort{whereB, whereX} // a port was opened
	require.NoError(t, a.Apply(list(3, apart)))
	require.True(t, a.Unreachable(idB), "what was found holds until it turns out to be otherwise")
	a.greetDue(a.clock)
	require.NotEmpty(t, a.tap.sent)
	b.clock = a.clock
	p.greetNow()
	meet(t, a, b, whereA, whereB)
	require.False(t, a.Unreachable(idB))
	_, met = a.Index(idB)
	require.True(t, met)

	// It is no statement about a peer that there is a way to.
	recordOf(t, a, idB).attempt = hopelessAfter + 1
	a.judgeUnmet(p)
	require.True(t, p.met())
}
