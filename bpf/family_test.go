// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// pairing is the family of a packet and that of the outer headers around it.
type pairing struct{ inner, outer int }

var pairings = []pairing{{V4, V4}, {V6, V4}, {V4, V6}, {V6, V6}}

func (f pairing) String() string {
	name := [2]string{"IPv4", "IPv6"}
	return name[f.inner] + " in " + name[f.outer]
}

// eachPairing runs a test for all four pairings of inner and outer family.
func eachPairing(t *testing.T, test func(t *testing.T, f pairing)) {
	for _, f := range pairings {
		t.Run(f.String(), func(t *testing.T) { test(t, f) })
	}
}

// eachFamily runs a test for both inner families, over IPv4.
func eachFamily(t *testing.T, test func(t *testing.T, f pairing)) {
	for _, f := range pairings[:2] {
		t.Run(f.String()[:4], func(t *testing.T) { test(t, f) })
	}
}

// to6 gives each IPv4 address of the world its counterpart of IPv6.
func to6(a netip.Addr) netip.Addr {
	if !a.Is4() {
		return a
	}
	b := a.As4()
	out := netip.MustParseAddr("2001:db8::").As16()
	switch {
	case a.IsUnspecified():
		return netip.IPv6Unspecified()
	case a.IsLoopback():
		return netip.IPv6Loopback()
	case b[0] >= 224:
		out = netip.MustParseAddr("ff02::").As16()
	case b[0] == 10:
		out = [16]byte{0: 0xfd, 1: map[byte]byte{18: 0x18, 30: 0x30}[b[1]]}
	}
	copy(out[12:], b[:])
	return netip.AddrFrom16(out)
}

// both returns an address and its counterpart by family.
func both(a netip.Addr) [2]netip.Addr { return [2]netip.Addr{a, to6(a)} }

// inside and outside give an address the form that it has inside and outside of the tunnel.
func (f pairing) inside(a netip.Addr) netip.Addr  { return both(a)[f.inner] }
func (f pairing) outside(a netip.Addr) netip.Addr { return both(a)[f.outer] }

// of returns the packet in the inner family.
func (p packet) of(f pairing) packet {
	if p.src.IsValid() {
		p.src, p.dst = f.inside(p.src), f.inside(p.dst)
	}
	return p
}

func (f pairing) same(t testing.TB, got []byte, want packet) {
	t.Helper()
	same(t, got, want.of(f))
}

// stripped returns what is behind the outer headers of a frame.
func (f pairing) stripped(frame []byte) []byte { return frame[14+Overhead(f.outer == V4):] }

// etherType is what Ethernet calls the inner family.
func (f pairing) etherType() []byte {
	return [2][]byte{{0x08, 0x00}, {0x86, 0xdd}}[f.inner]
}

// l4At and lengthAt are where a plain frame of the inner family has its transport's header, and the lower byte of its length.
func (f pairing) l4At() int     { return [2]int{14 + 20, 14 + 40}[f.inner] }
func (f pairing) lengthAt() int { return [2]int{14 + 3, 14 + 5}[f.inner] }

// sport returns the source port, or the identifier of an echo, of what is inside.
func (f pairing) sport(frame []byte) uint16 {
	return binary.BigEndian.Uint16(f.stripped(frame)[f.l4At()-14:])
}

// sourcePort returns the outer source port, which has to be a dynamic one or that which the peer has asked for.
func (f pairing) sourcePort(t testing.TB, frame []byte) uint16 {
	t.Helper()
	got := binary.BigEndian.Uint16(frame[14+Overhead(f.outer == V4)-16:])
	if got < 40000 {
		t.Errorf("outer source port %d is not in the dynamic range", got)
	}
	return got
}

// encapsulated holds a frame, but for its Ethernet header, against what the peer is to get, byte by byte.
func (f pairing) encapsulated(t testing.TB, frame []byte, tag uint32, inner []byte, tos uint8, sport uint16) {
	t.Helper()
	body := append([]byte{0x0c, 0, 0, byte(1 + f.inner), byte(tag >> 16), byte(tag >> 8), byte(tag), 0}, inner...)
	want := packet{src: f.outside(selfOuter), dst: f.outside(peerOuter), proto: unix.IPPROTO_UDP, sport: sport, dport: port,
		payload: string(body), noChecksum: true, tos: tos, fragment: 0x4000}.ip()
	if string(frame[14:]) != string(want) {
		t.Errorf("packet to the peer is\n% x\nwant\n% x", frame[14:], want)
	}
}

// setTOS gives an IP header a traffic class.
func setTOS(ip []byte, tos uint8) {
	if ip[0]>>4 == 6 {
		ip[0], ip[1] = 0x60|tos>>4, tos<<4|ip[1]&0x0f
		return
	}
	ip[1], ip[10], ip[11] = tos, 0, 0
	binary.BigEndian.PutUint16(ip[10:], fold(sum(ip[:20], 0)))
}

// icmpTypes are ICMPv6's counterparts of ICMP's types: echo, its answer, unreachable, time exceeded, parameter problem, and one that
// belongs to no flow in either.
var icmpTypes = map[uint8]uint8{8: 128, 0: 129, 3: 1, 11: 3, 12: 4, 13: 200}

// proto6 is the protocol's number in IPv6.
func proto6(proto uint8) uint8 {
	if proto == unix.IPPROTO_ICMP {
		return unix.IPPROTO_ICMPV6
	}
	return proto
}

// addrAt returns an IP packet's source (0) or destination (1).
func addrAt(ip []byte, f pairing, which int) netip.Addr {
	size := [2]int{4, 16}[f.inner]
	at := [2]int{12, 8}[f.inner] + which*size
	a, _ := netip.AddrFromSlice(ip[at : at+size])
	return a
}
