// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// choice is a service with an instance on this worker and one each on the peers 1, 10 and 11, under one policy.
type choice struct {
	*kernel
	f    pairing
	next uint16
}

const (
	hereIndex = 200 // the backends' indices: of this worker, then of the peers
	farIndex  = 201
)

var choicePeers = []uint32{1, 10, 11}

func newChoice(t *testing.T, f pairing, policy uint32) *choice {
	c := &choice{kernel: newKernelOf(t, f), f: f}
	c.backend(hereIndex, server, serverInst, Backend{Ifindex: otherLink, Tag: serverTag})
	indices := []uint32{hereIndex}
	for i, peer := range choicePeers {
		at := netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + peer)})
		must(t, c.maps.Peers.Put(peer, Peer{Outer: AddrFrom(f.outside(at)), Local: AddrFrom(f.outside(selfOuter)), Family: uint16(f.outer),
			Ifindex: loopback, Port: port, State: PeerUp}))
		c.backend(farIndex+uint32(i), netip.AddrFrom4([4]byte{10, 18, 1, byte(i)}), netip.AddrFrom4([4]byte{10, 30, 2, byte(i)}),
			Backend{Peer: peer, Tag: farTag, Distance: DistanceUnknown})
		indices = append(indices, farIndex+uint32(i))
	}
	c.service(7, vipUnknown, indices...)
	c.vip(vipUnknown, VIP{Policy: policy, Service: 7})
	return c
}

// change edits a backend.
func (c *choice) change(index uint32, edit func(*Backend)) {
	c.t.Helper()
	b, _, err := c.maps.Backends.Lookup(index)
	must(c.t, err)
	edit(&b)
	must(c.t, c.maps.Backends.Put(index, b))
}

func (c *choice) state(peer, state uint32) {
	c.t.Helper()
	p, _, err := c.maps.Peers.Lookup(peer)
	must(c.t, err)
	p.State = state
	must(c.t, c.maps.Peers.Put(peer, p))
}

// rtt sets what has been measured; 0: nothing.
func (c *choice) rtt(peer uint32, us uint32) {
	c.t.Helper()
	h := PeerHealth{RttUs: us}
	if us > 0 {
		h.Sampled = uint64(monotonic())
	}
	must(c.t, c.maps.PeerHealth.Put(peer, h))
}

// opens opens so many flows and returns how many each backend got.
func (c *choice) opens(n int) map[uint32]int {
	c.t.Helper()
	got := map[uint32]int{}
	for range n {
		c.next++
		p := packet{src: client, dst: vipUnknown, proto: unix.IPPROTO_UDP, sport: c.next, dport: 53}.of(c.f)
		c.redirects("open", c.progs.Container, p.frame())
		key := FlowKey{Src: AddrFrom(p.src), Dst: AddrFrom(p.dst), Sport: htons(p.sport), Dport: htons(53), Proto: p.proto, From: loopback}
		flow, ok, err := c.maps.Flows().Lookup(key)
		must(c.t, err)
		if !ok {
			c.t.Fatalf("flow %v is not there", key)
		}
		got[flow.Backend]++
	}
	return got
}

func (c *choice) all(what string, index uint32) {
	c.t.Helper()
	if got := c.opens(8); got[index] != 8 {
		c.t.Errorf("%s: flows went to %v, want all to %d", what, got, index)
	}
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// TestRoundRobinPassesOver holds that instances that cannot be reached, are gone or lack the family are passed over, and the others stay even.
func TestRoundRobinPassesOver(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		c := newChoice(t, f, PolicyRoundRobin)
		even := func(what string, want ...uint32) {
			t.Helper()
			got := c.opens(12 * len(want))
			for _, index := range want {
				if got[index] < 11 || got[index] > 13 || len(got) != len(want) {
					t.Errorf("%s: flows went to %v, want 12 to each of %v", what, got, want)
					return
				}
			}
		}
		even("all there", 200, 201, 202, 203)
		c.state(10, PeerUnreachable)
		even("a peer unreachable", 200, 201, 203)
		c.state(11, PeerGreeting)
		even("another never met", 200, 201)
		c.change(hereIndex, func(b *Backend) { b.Generation = 0 })
		even("the local one gone", 201)
		c.state(10, PeerUp)
		even("the first peer back", 201, 202)
		must(t, c.maps.PeerHealth.Put(10, PeerHealth{Asked: uint64(monotonic()) - 11e9}))
		even("silent for 11 s", 201)
		must(t, c.maps.PeerHealth.Put(10, PeerHealth{Asked: uint64(monotonic()) - 5e9}))
		even("silent for 5 s", 201, 202)
		c.change(farIndex, func(b *Backend) {
			if f.inner == V4 {
				b.Ns4 = 0
			} else {
				b.Ns6 = Addr{}
			}
		})
		even("without an address of the family", 202)
		c.state(10, PeerUnreachable)
		k, p := c.kernel, packet{src: client, dst: vipUnknown, proto: unix.IPPROTO_UDP, sport: 60000, dport: 53}.of(f)
		if verdict, _ := k.run(k.progs.Container, p.frame()); verdict == verdictRedirect && k.drops()["no_backend"] == 0 {
			t.Errorf("verdict %#x with nobody to reach, drops %v", verdict, k.drops())
		}
	})
}

// TestClosest holds the order: this worker, then the shorter round trip, then the shorter distance; and that it follows changes.
func TestClosest(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		c := newChoice(t, f, PolicyClosest)
		c.rtt(1, 50)
		c.all("one on this worker", hereIndex)
		c.change(hereIndex, func(b *Backend) { b.Generation = 0 })
		c.rtt(1, 1000)
		c.rtt(10, 500)
		c.rtt(11, 2000)
		c.all("half the round trip", farIndex+1)
		c.rtt(10, 3000)
		c.all("that one slower now", farIndex)
		c.state(1, PeerUnreachable)
		c.all("that one unreachable", farIndex+2)
		c.state(1, PeerUp)
		c.rtt(1, 0)
		c.rtt(10, 0)
		c.change(farIndex, func(b *Backend) { b.Distance = 0 })
		c.all("one measured, however slow, before any that is not", farIndex+2)
		c.rtt(11, 0)
		c.all("none measured: by distance", farIndex)
		c.change(farIndex+1, func(b *Backend) { b.Distance = 0 })
		c.change(farIndex, func(b *Backend) { b.Distance = 1 })
		c.all("a step closer", farIndex+1)
		// Round trips within an eighth are the same: flows are spread.
		c.rtt(1, 1000)
		c.rtt(10, 950)
		if got := c.opens(40); got[farIndex] < 10 || got[farIndex+1] < 10 {
			t.Errorf("of equals flows went to %v, want both to get some", got)
		}
		c.rtt(10, 800)
		c.all("more than an eighth", farIndex+1)
	})
}

// TestUnderutilized holds that flows go where the fewest are, weighted with what instances report.
func TestUnderutilized(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		c := newChoice(t, f, PolicyUnderutilized)
		if got := c.opens(40); got[200] != 10 || got[201] != 10 || got[202] != 10 || got[203] != 10 {
			t.Errorf("40 flows went to %v, want 10 to each", got)
		}
		must(t, c.maps.Loads.Put(202, ActiveFlows{}))
		c.all("one with nothing to do", 202)
		weigh := func(index uint32, flows uint32, load uint16) {
			must(t, c.maps.Loads.Put(index, ActiveFlows{Active: flows}))
			c.change(index, func(b *Backend) { b.Load = load })
		}
		for index := uint32(200); index < 204; index++ {
			weigh(index, 19, LoadFull)
		}
		// 20 flows at full load weigh 80 thousand, 70 idle ones 70 thousand.
		weigh(203, 69, 0)
		c.all("an idle one with more flows", 203)
		weigh(203, ^uint32(0), LoadFull)
		c.all("a count below zero is none", 203)
		for index := uint32(200); index < 204; index++ {
			weigh(index, 19, LoadUnknown)
		}
		weigh(201, 19, LoadFull-1)
		if got := c.opens(1); got[201] != 1 {
			t.Errorf("the flow went to %v, want the one whose load is known to be a little less than full", got)
		}
	})
}

// TestShortFlowsAreShared holds that flows which leave nothing open are shared out by what instances report, none getting all or nothing, and
// that what was given is forgotten.
func TestShortFlowsAreShared(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		c := newChoice(t, f, PolicyUnderutilized)
		loads := map[uint32]uint16{200: 0, 201: LoadFull / 3, 202: LoadFull, 203: LoadUnknown} // weigh one, two and twice four
		for index, load := range loads {
			c.change(index, func(b *Backend) { b.Load = load })
		}
		before := monotonic() >> latelyHalved
		got := map[uint32]int{}
		for range 400 {
			for index := range c.opens(1) {
				got[index]++
				l, _, err := c.maps.Loads.Lookup(index)
				must(t, err)
				l.Active = 0 // as if it had ended
				must(t, c.maps.Loads.Put(index, l))
			}
		}
		for index, want := range map[uint32]int{200: 200, 201: 100, 202: 50, 203: 50} {
			if got[index] < want*8/10 || got[index] > want*12/10 {
				t.Errorf("of 400 short flows %d got %d, want about %d", index, got[index], want)
			}
		}
		l, _, err := c.maps.Loads.Lookup(200)
		must(t, err)
		now := monotonic()
		if before == now>>latelyHalved && l.Given(now) != uint32(got[200]) {
			t.Errorf("%d flows are said to be given lately, want %d", l.Given(now), got[200])
		}
		if given := l.Given(now + 30*time.Second); given != 0 {
			t.Errorf("%d flows are remembered after 30 s", given)
		}
		// As many were given to the idle one half a minute ago: it has nothing to do now.
		l.Lately = 1000<<latelyTime | uint32((now-30*time.Second)>>latelyHalved)&(1<<latelyTime-1)
		must(t, c.maps.Loads.Put(200, l))
		if got := c.opens(1); got[200] != 1 {
			t.Errorf("a flow went to %v, want it at 200, which was given many long ago", got)
		}
	})
}

// TestLateReportsComeToRest closes the loop: instances get as busy as what they were given makes them, and callers hear of it two rounds late.
// However unequal it begins, shares become even and stay so, and at no time does one get all.
func TestLateReportsComeToRest(t *testing.T) {
	c := newChoice(t, pairing{}, PolicyUnderutilized)
	const rounds, flows, full = 16, 120, 60 // an instance is full with half of all flows
	all := []uint32{200, 201, 202, 203}
	late := []map[uint32]int{{200: flows}, {200: flows}} // what the reports of two rounds ago and of one are about
	for round := range rounds {
		for _, index := range all {
			must(t, c.maps.Loads.Put(index, ActiveFlows{})) // what was given long ago is forgotten
			load := uint16(min(late[0][index]*int(LoadFull)/full, int(LoadFull)))
			c.change(index, func(b *Backend) { b.Load = load })
		}
		got := map[uint32]int{}
		for range flows {
			for index := range c.opens(1) {
				got[index]++
				l, _, err := c.maps.Loads.Lookup(index)
				must(t, err)
				l.Active = 0 // it was short
				must(t, c.maps.Loads.Put(index, l))
			}
		}
		for _, index := range all {
			if got[index] == 0 || got[index] > flows/2 {
				t.Errorf("round %d: flows went to %v: one has got all, or none", round, got)
				break
			}
			if round >= rounds-4 && (got[index] < flows/4-flows/12 || got[index] > flows/4+flows/12) {
				t.Errorf("round %d: flows went to %v, want a quarter to each", round, got)
				break
			}
		}
		late = []map[uint32]int{late[1], got}
	}
}

// active returns what is counted of a backend.
func (k *kernel) active(index uint32) uint32 {
	k.t.Helper()
	l, _, err := k.maps.Loads.Lookup(index)
	must(k.t, err)
	return l.Active
}

// TestActiveFlows holds that a flow counts from its first packet to its end, once, whichever way it ends.
func TestActiveFlows(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		out := func(flags uint8) {
			t.Helper()
			k.redirects("out", k.progs.Container, tcp(client, vipRemote, 4000, 80, flags).of(f).frame())
		}
		back := func(flags uint8) {
			t.Helper()
			k.redirects("back", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, tcp(farServer, clientInst, 80, 4000, flags).of(f).ip()))
		}
		open := func() { out(flagSYN); back(flagSYN | flagACK); out(flagACK) }
		want := func(what string, n uint32) {
			t.Helper()
			if got := k.active(2); got != n {
				t.Errorf("%s: %d flows active, want %d", what, got, n)
			}
		}
		out(flagSYN)
		want("half-open", 1)
		out(flagSYN)
		want("SYN again", 1)
		back(flagRST | flagACK)
		want("refused", 0)
		back(flagRST | flagACK)
		want("refused twice", 0)
		open()
		want("established", 1)
		out(flagFIN | flagACK)
		want("half-closed", 1)
		back(flagFIN | flagACK)
		want("closed", 0)
		out(flagACK)
		want("last acknowledgement", 0)
		open()
		want("ports used again", 1)
		out(flagFIN | flagACK)
		out(flagSYN)
		want("ports used again after half an end", 1)
		out(flagRST)
		want("reset by the client", 0)
		open()
		b, _, err := k.maps.Backends.Lookup(2)
		must(t, err)
		b.Slot, b.Generation = b.Slot+1, b.Generation+1
		must(t, k.maps.Backends.Put(2, b))
		must(t, k.maps.Loads.Put(2, ActiveFlows{Active: 5}))
		out(flagSYN)
		want("the old owner's flow does not count against the new one", 6)
	})
}

// TestRoundTrip measures a peer by the handshakes of flows opened here, and by nothing else.
func TestRoundTrip(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		sample := func() PeerHealth {
			h, _, err := k.maps.PeerHealth.Lookup(1)
			must(t, err)
			return h
		}
		key := func(sport uint16) FlowKey {
			return FlowKey{Src: AddrFrom(f.inside(client)), Dst: AddrFrom(f.inside(vipRemote)), Sport: htons(sport), Dport: htons(80),
				Proto: unix.IPPROTO_TCP, From: loopback}
		}
		// handshake makes the SYN so old when it is answered.
		handshake := func(sport uint16, age uint32, syns int) {
			t.Helper()
			for range syns {
				k.redirects("SYN", k.progs.Container, tcp(client, vipRemote, sport, 80, flagSYN).of(f).frame())
			}
			flow, _, err := k.maps.Flows().Lookup(key(sport))
			must(t, err)
			flow.LastAck -= age
			must(t, k.maps.Flows().Put(key(sport), flow))
			k.redirects("SYN+ACK", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, tcp(farServer, clientInst, 80, sport, flagSYN|flagACK).of(f).ip()))
		}
		handshake(1, 40_000, 2)
		if h := sample(); h.Sampled != 0 {
			t.Errorf("a SYN that was sent twice counts: %+v", h)
		}
		handshake(2, 40_000, 1)
		first := sample()
		if first.RttUs < 40_000 || first.RttUs > 140_000 || first.Sampled == 0 {
			t.Errorf("measured %+v, want 40 ms and what the test took", first)
		}
		handshake(3, 40_000+8_000_000, 1)
		if h := sample(); h.RttUs < first.RttUs+900_000 || h.RttUs > first.RttUs+1_100_000 {
			t.Errorf("after one of 8 s the smoothed value is %d µs, want about %d", h.RttUs, first.RttUs+1_000_000)
		}
		before := sample()
		k.redirects("SYN", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, tcp(farClient, server, 4, 80, flagSYN).of(f).ip()))
		k.redirectsFrom(otherLink, "SYN+ACK", k.progs.Container, tcp(server, farClient, 80, 4, flagSYN|flagACK).of(f).frame())
		if h := sample(); h.RttUs != before.RttUs || h.Heard == 0 {
			t.Errorf("a flow opened by the peer was measured, or the peer not heard: %+v", h)
		}
	})
}
