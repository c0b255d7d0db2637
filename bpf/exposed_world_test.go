// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// side is the test's world in one family: a caller outside, this worker's own address, a client and the exposed server on it.
type side struct {
	name                                                    string
	outside, router, own, client, clientInst, server, sInst netip.Addr
	icmp                                                    uint8
}

var sides = []side{
	{"ipv4", outside, netip.MustParseAddr("203.0.113.1"), selfOuter, client, clientInst, server, serverInst, unix.IPPROTO_ICMP},
	{"ipv6", netip.MustParseAddr("2001:db8:7::7"), netip.MustParseAddr("2001:db8:9::1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fc00::2"),
		netip.MustParseAddr("fdff::1:2"), netip.MustParseAddr("fc00::3"), netip.MustParseAddr("fdff::1:3"), unix.IPPROTO_ICMPV6},
}

const uplink = loopback // where callers outside are

func protocols(t *testing.T, f func(t *testing.T, s side, proto uint8)) {
	for _, s := range sides {
		for name, proto := range map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP} {
			t.Run(s.name+"/"+name, func(t *testing.T) { f(t, s, proto) })
		}
	}
}

// newExposing is a kernel with both families, in which 8080 leads to the server's port 80 and 8081 does too.
func newExposing(t testing.TB) *kernel {
	t.Helper()
	k := newKernel(t)
	cfg, _, err := k.maps.Config.Lookup(0)
	must(t, err)
	cfg.Services6, cfg.Workers6 = PrefixFrom(netip.MustParsePrefix("fdff::/16")), PrefixFrom(netip.MustParsePrefix("fc00::/16"))
	cfg.Gateway6 = AddrFrom(netip.MustParseAddr("fc00::1"))
	must(t, k.maps.Config.Put(0, cfg))
	v4, v6 := sides[0], sides[1]
	for ifindex, a := range map[uint32][4]netip.Addr{
		loopback:  {v4.client, v4.clientInst, v6.client, v6.clientInst},
		otherLink: {v4.server, v4.sInst, v6.server, v6.sInst},
	} {
		ep, _, err := k.maps.Endpoints.Lookup(ifindex)
		must(t, err)
		ep.Ns, ep.Inst = [2]Addr{AddrFrom(a[0]), AddrFrom(a[2])}, [2]Addr{AddrFrom(a[1]), AddrFrom(a[3])}
		must(t, k.maps.Endpoints.Put(ifindex, ep))
		must(t, k.maps.Local.Put(AddrFrom(a[2]), ifindex))
	}
	for _, s := range sides {
		must(t, k.maps.OwnAddrs.Put(AddrFrom(s.own), 1))
	}
	for _, proto := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		for _, p := range []uint16{8080, 8081} {
			must(t, k.maps.Exposed.Put(Port{Port: p, Proto: proto}, Exposed{Ifindex: otherLink, Uplink: uplink, Port: be16(80)}))
		}
	}
	return k
}

func be16(p uint16) uint16 { return p<<8 | p>>8 }

// bytes returns the packet without an Ethernet header, in the family of its addresses.
func (p packet) bytes() []byte {
	if p.src.Is4() {
		return p.ip()
	}
	l4 := p.transport()
	h := make([]byte, 40, 128)
	h[0], h[6], h[7] = 0x60, p.proto, 64
	binary.BigEndian.PutUint16(h[4:], uint16(len(l4)))
	copy(h[8:], p.src.AsSlice())
	copy(h[24:], p.dst.AsSlice())
	at := 2 // of ICMPv6, which counts the addresses too
	if p.proto != unix.IPPROTO_ICMPV6 {
		at = l4Checksum[p.proto]
	}
	binary.BigEndian.PutUint16(l4[at:], fold(sum(l4, sum(h[8:40], uint32(p.proto)+uint32(len(l4))))))
	return append(h, l4...)
}

// wire returns the packet with an Ethernet header.
func (p packet) wire() []byte {
	f := frame(p.bytes())
	if p.src.Is6() {
		f[12], f[13] = 0x86, 0xdd
	}
	return f
}

// equal holds a frame against what is wanted, byte by byte.
func equal(t testing.TB, what string, got []byte, want packet) {
	t.Helper()
	if w := want.bytes(); len(got) < 14 || string(got[14:]) != string(w) {
		t.Errorf("%s came out as\n% x\nwant\n% x", what, got[min(14, len(got)):], w)
	}
}

func of(proto uint8, src, dst netip.Addr, sport, dport uint16, flags uint8) packet {
	p := packet{src: src, dst: dst, proto: proto, sport: sport, dport: dport, payload: "hello"}
	if proto == unix.IPPROTO_TCP {
		p.flags = flags
	}
	return p
}

// answered opens a flow from outside and has it answered; the caller's port is what the server is to see.
func (k *kernel) answered(s side, proto uint8, host, sport, seen uint16) {
	k.t.Helper()
	out := k.redirects("open", k.progs.UplinkIn, of(proto, s.outside, s.own, sport, host, flagSYN).wire())
	equal(k.t, "open", out, of(proto, s.outside, s.server, seen, 80, flagSYN))
	out = k.redirectsFrom(otherLink, "answer", k.progs.Container, of(proto, s.server, s.outside, 80, seen, flagSYN|flagACK).wire())
	equal(k.t, "answer", out, of(proto, s.own, s.outside, host, sport, flagSYN|flagACK))
	k.redirects("third packet", k.progs.UplinkIn, of(proto, s.outside, s.own, sport, host, flagACK).wire())
}
