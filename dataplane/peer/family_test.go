// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

var (
	whereA6 = netip.MustParseAddrPort("[2001:db8::1]:50103")
	whereB6 = netip.MustParseAddrPort("[2001:db8::2]:50103")
)

// cable carries what two workers send each other, in families that work.
type cable struct {
	t      *testing.T
	a, b   *side
	v4, v6 bool
	nat    bool // before A, in IPv4
}

// twoFamilies is two workers, each with an address of each family.
func twoFamilies(t *testing.T) *cable {
	t.Helper()
	keyA, keyB := newKey(t), newKey(t)
	c := &cable{t: t, v4: true, v6: true}
	c.a, c.b = newSide(t, newMaps(t), idA, keyA, 1, whereA), newSide(t, newMaps(t), idB, keyB, 1, whereB)
	c.a.cfg.Uplink = func() Uplink { return Uplink{Ifindex: 7, IPv4: whereA.Addr(), IPv6: whereA6.Addr(), MTU: 1500} }
	c.b.cfg.Uplink = func() Uplink { return Uplink{Ifindex: 7, IPv4: whereB.Addr(), IPv6: whereB6.Addr(), MTU: 1500} }
	for _, s := range []*side{c.a, c.b} {
		s.lookAtUplink()
	}
	require.NoError(t, c.a.Apply(list(1, peerOf(idB, keyB, whereB, whereB6))))
	require.NoError(t, c.b.Apply(list(1, peerOf(idA, keyA, whereA, whereA6))))
	return c
}

// addresses are those of an IP packet.
func addresses(p []byte) (from, to netip.AddrPort) {
	if p[0]>>4 == 4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(p[12:])), binary.BigEndian.Uint16(p[20:])), netip.AddrPortFrom(netip.AddrFrom4([4]byte(p[16:])), binary.BigEndian.Uint16(p[22:]))
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[8:])), 50103), netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[24:])), 50103)
}

// carry delivers until nothing is under way.
func (c *cable) carry() {
	c.t.Helper()
	for range 32 {
		n := 0
		for _, way := range [][2]*side{{c.a, c.b}, {c.b, c.a}} {
			sent := way[0].tap.sent
			way[0].tap.sent = nil
			for _, p := range sent {
				from, to := addresses(p)
				if c.nat && from == whereA {
					from = publicA
				}
				if c.nat && to == whereA {
					continue // nobody reaches what is behind a NAT at its own address
				}
				if from.Addr().Is4() && c.v4 || from.Addr().Is6() && c.v6 {
					way[1].HandleHello(asEvent(helloIn(p), from, to))
					n++
				}
			}
		}
		if n == 0 {
			return
		}
	}
	c.t.Fatal("the greeting does not end")
}

// pass lets time go by: what is due is sent and delivered.
func (c *cable) pass(d time.Duration) {
	c.t.Helper()
	const step = 10 * time.Millisecond
	for range d / step {
		for _, s := range []*side{c.a, c.b} {
			s.clock = s.clock.Add(step)
			s.greetDue(s.clock)
			s.leaveAllFormer()
		}
		c.carry()
	}
}

// at is where packets to the only peer of s go, and whether they may.
func at(t *testing.T, s *side, id string) (netip.Addr, bool) {
	t.Helper()
	index, met := s.Index(id)
	p, _, err := s.cfg.Maps.Peers.Lookup(index)
	require.NoError(t, err)
	return p.Outer.Netip(), met
}

func taken(t *testing.T, s *side, addr netip.Addr) bool {
	t.Helper()
	_, ok, err := s.cfg.Maps.PeerAddrs.Lookup(bpf.PeerAddr{Addr: bpf.AddrFrom(addr)})
	require.NoError(t, err)
	return ok
}

// requireAgreement is what matters whichever family each of the two has chosen: each takes packets from where the other sends them.
func (c *cable) requireAgreement() {
	c.t.Helper()
	toB, metB := at(c.t, c.a, idB)
	toA, metA := at(c.t, c.b, idA)
	require.True(c.t, metA)
	require.True(c.t, metB)
	source := map[bool][2]netip.Addr{true: {whereA.Addr(), whereB.Addr()}, false: {whereA6.Addr(), whereB6.Addr()}}
	require.True(c.t, taken(c.t, c.b, source[toB.Is4()][0]), "B takes A's packets")
	require.True(c.t, taken(c.t, c.a, source[toA.Is4()][1]), "A takes B's packets")
}

func TestIPv4IsPreferredWhereBothFamiliesAnswer(t *testing.T) {
	c := twoFamilies(t)
	c.pass(time.Second)
	c.requireAgreement()
	toB, _ := at(t, c.a, idB)
	toA, _ := at(t, c.b, idA)
	require.Equal(t, []netip.Addr{whereB.Addr(), whereA.Addr()}, []netip.Addr{toB, toA})
}

// What is lost at first, as while neighbours are asked for, does not decide for long.
func TestALostPacketDoesNotDecideTheFamily(t *testing.T) {
	c := twoFamilies(t)
	c.v4 = false
	c.pass(100 * time.Millisecond)
	toB, met := at(t, c.a, idB)
	require.True(t, met)
	require.Equal(t, whereB6.Addr(), toB)
	c.v4 = true
	c.pass(2 * betterEvery)
	c.requireAgreement()
	toB, _ = at(t, c.a, idB)
	require.Equal(t, whereB.Addr(), toB)

	c.v4 = false
	c.pass(time.Minute)
	toB, _ = at(t, c.a, idB)
	require.Equal(t, whereB6.Addr(), toB)
	before := recordOf(t, c.a, idB).next
	c.pass(refreshEvery)
	require.Greater(t, recordOf(t, c.a, idB).next.Sub(before), refreshEvery/2, "it is tried less often by now")
}

// TestANATIsAvoidedWhereTheOtherFamilyHasNone: a NAT may forget, and IPv6 goes without.
func TestANATIsAvoidedWhereTheOtherFamilyHasNone(t *testing.T) {
	c := twoFamilies(t)
	c.nat, c.v6 = true, false
	c.pass(time.Second)
	toB, _ := at(t, c.a, idB)
	require.Equal(t, whereB.Addr(), toB)
	require.True(t, recordOf(t, c.a, idB).nat)
	c.v6 = true
	c.pass(refreshEvery + 2*time.Second)
	for _, s := range []struct {
		*side
		other string
	}{{c.a, idB}, {c.b, idA}} {
		addr, met := at(t, s.side, s.other)
		require.True(t, met)
		require.True(t, addr.Is6())
	}
}

func TestIPv6ServesWhereIPv4DoesNotAnswer(t *testing.T) {
	c := twoFamilies(t)
	c.v4 = false
	c.pass(time.Second)
	c.requireAgreement()
	toB, _ := at(t, c.a, idB)
	require.Equal(t, whereB6.Addr(), toB)
	index, _ := c.a.Index(idB)
	p, _, err := c.a.cfg.Maps.Peers.Lookup(index)
	require.NoError(t, err)
	require.Equal(t, whereA6.Addr(), p.Local.Netip(), "the source is of the same family")
}

// TestFamiliesComeAndGo breaks one family and mends it, then the other: packets always have a way that works, and both ends take them.
func TestFamiliesComeAndGo(t *testing.T) {
	c := twoFamilies(t)
	c.pass(time.Second)
	c.v4 = false
	c.pass(refreshEvery + 2*time.Second)
	c.requireAgreement()
	for _, s := range []struct {
		*side
		other string
	}{{c.a, idB}, {c.b, idA}} {
		addr, _ := at(t, s.side, s.other)
		require.True(t, addr.Is6(), "%s goes on by IPv6", s.other)
	}
	c.v4 = true
	c.pass(refreshEvery + 2*time.Second)
	c.requireAgreement()
	for _, s := range []struct {
		*side
		other string
	}{{c.a, idB}, {c.b, idA}} {
		addr, _ := at(t, s.side, s.other)
		require.True(t, addr.Is4(), "%s is back at IPv4", s.other)
	}
	c.v6 = false
	c.pass(elsewhereKept + refreshEvery)
	c.requireAgreement()
	require.False(t, taken(t, c.a, whereB6.Addr()), "an address that never answers again is forgotten")
}

// TestASecondAddressOutlivesARestart: the other worker may be sending from there.
func TestASecondAddressOutlivesARestart(t *testing.T) {
	c := twoFamilies(t)
	c.v4 = false
	c.pass(time.Second)
	c.v4 = true
	c.pass(refreshEvery + 2*time.Second)
	require.True(t, taken(t, c.a, whereB6.Addr()))
	next := newSide(t, c.a.cfg.Maps, idA, c.a.cfg.Key, 2, whereA)
	require.True(t, taken(t, next, whereB.Addr()))
	require.True(t, taken(t, next, whereB6.Addr()))
}

func TestAddressesToBeGreetedAt(t *testing.T) {
	var in, want []netip.AddrPort
	for text, good := range map[string]bool{
		"192.0.2.1:1": true, "[2001:db8::1]:1": true, "[::ffff:192.0.2.1]:1": true, "[fc00::1]:1": true,
		"192.0.2.1:0": false, "0.0.0.0:1": false, "[::]:1": false, "[fe80::1]:1": false, "[ff02::1]:1": false, "[::1]:1": false,
		"127.0.0.1:1": false, "255.255.255.255:1": false, "224.0.0.1:1": false, "169.254.0.1:1": false,
	} {
		a := netip.MustParseAddrPort(text)
		in = append(in, a)
		if a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port()); good && a.Addr() != netip.MustParseAddr("192.0.2.1") {
			want = append(want, a)
		}
	}
	require.ElementsMatch(t, append(want, netip.MustParseAddrPort("192.0.2.1:1")), usable(in))
}
