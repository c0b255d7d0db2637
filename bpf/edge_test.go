// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHairpin has an instance call itself by its service: it sees its own Instance IP as the caller, and the service as who answers.
func TestHairpin(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		k.backend(20, client, clientInst, Backend{Ifindex: loopback, Tag: 0x1})
		k.service(8, vipUnknown, 20)
		for _, sport := range []uint16{4000, 80} { // from the port that it calls, too
			f.same(t, k.redirects("call", k.progs.Container, tcp(client, vipUnknown, sport, 80, flagSYN).of(f).frame()),
				tcp(clientInst, client, sport, 80, flagSYN))
			f.same(t, k.redirects("answer", k.progs.Container, tcp(client, clientInst, 80, sport, flagSYN|flagACK).of(f).frame()),
				tcp(vipUnknown, client, 80, sport, flagSYN|flagACK))
		}
	})
}

// TestPeersBehindOneAddress tells peers apart by the port that their packets come from, where one NAT hides them all.
func TestPeersBehindOneAddress(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		nat := f.outside(outside)
		other := netip.MustParseAddr("10.30.1.90")
		for n, p := range map[uint32]uint16{21: 6001, 22: 6002} {
			must(t, k.maps.Peers.Put(n, Peer{Outer: AddrFrom(nat), Local: AddrFrom(f.outside(selfOuter)), Family: uint16(f.outer),
				Ifindex: loopback, Port: p, Sport: port, State: PeerUp}))
			must(t, k.maps.PeerAddrs.Put(PeerAddr{Addr: AddrFrom(nat), Port: p}, n))
		}
		k.source(farClient, 21)
		k.source(other, 22)
		from := func(sport uint16, src netip.Addr) []byte {
			frame := tunnelled(nat, serverTag, tcp(src, server, 4000, 80, flagSYN).of(f).ip())
			at := len(frame) - len(f.stripped(frame)) - 16
			frame[at], frame[at+1] = byte(sport>>8), byte(sport)
			return frame
		}
		k.redirects("of the one", k.progs.UplinkIn, from(6001, farClient))
		k.redirects("of the other", k.progs.UplinkIn, from(6002, other))
		k.refuses("of the one as if from the other", "bad_source", loopback, k.progs.UplinkIn, from(6002, farClient))
		k.refuses("from another port", "unknown_peer", loopback, k.progs.UplinkIn, from(6003, farClient))
		out := k.redirectsFrom(otherLink, "answer to the other", k.progs.Container, tcp(server, other, 80, 4000, flagSYN|flagACK).of(f).frame())
		want := packet{src: f.outside(selfOuter), dst: nat, proto: unix.IPPROTO_UDP, sport: port, dport: 6002, noChecksum: true, fragment: 0x4000,
			payload: string(out[len(out)-len(f.stripped(out))-8:])}.ip()
		if !bytes.Equal(out[14:], want) {
			t.Errorf("answer is\n% x\nwant\n% x", out[14:], want)
		}
	})
}

// TestNeighbourDiscovery holds that a container finds nobody that way, and fools nobody.
func TestNeighbourDiscovery(t *testing.T) {
	k := newKernel(t)
	local := netip.MustParseAddr("fe80::1")
	for _, kind := range []uint8{130, 133, 134, 135, 136, 137, 143} {
		k.refuses("type", "neighbour", loopback, k.progs.Container,
			packet{src: local, dst: netip.MustParseAddr("ff02::1"), proto: unix.IPPROTO_ICMPV6, icmp: kind}.frame())
		k.refuses("type, from its own address", "broadcast", loopback, k.progs.Container,
			packet{src: to6(client), dst: netip.MustParseAddr("ff02::1"), proto: unix.IPPROTO_ICMPV6, icmp: kind}.frame())
		k.refuses("type, by the tunnel", "neighbour", loopback, k.progs.UplinkIn, tunnelled(peerOuter, serverTag,
			packet{src: to6(farClient), dst: to6(server), proto: unix.IPPROTO_ICMPV6, icmp: kind}.ip()))
	}
}

// TestPeerWithoutAddress drops packets of flows to a peer that is nowhere at the moment, and goes on when it is found again.
func TestPeerWithoutAddress(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		syn := tcp(client, vipRemote, 4000, 80, flagSYN).of(f).frame()
		k.redirects("open", k.progs.Container, syn)
		located, _, err := k.maps.Peers.Lookup(1)
		must(t, err)
		lost := located
		lost.Port = 0
		must(t, k.maps.Peers.Put(1, lost))
		k.refuses("while it is nowhere", "peer_down", loopback, k.progs.Container, syn)
		must(t, k.maps.Peers.Put(1, located))
		k.redirects("found again", k.progs.Container, syn)
	})
}

// TestNoPortLeft opens a flow whose answers could not be told from others', whatever port it got.
func TestNoPortLeft(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		taken := FlowKey{Src: AddrFrom(f.inside(farServer)), Dst: AddrFrom(f.inside(clientInst)), Sport: htons(53), Proto: unix.IPPROTO_UDP, From: FromPeer | 1}
		for p := 49151; p < 65536; p++ {
			taken.Dport = htons(uint16(p))
			must(t, k.maps.Flows().Put(taken, Flow{Flags: FlowReply}))
		}
		k.refuses("out", "port_exhausted", loopback, k.progs.Container,
			packet{src: client, dst: vipRemote, proto: unix.IPPROTO_UDP, sport: 49151, dport: 53}.of(f).frame())

		// A peer's caller on the very ports by which the server calls it.
		k.vip(farClient, VIP{Policy: PolicyInstance, Backend: 2})
		k.redirectsFrom(otherLink, "the server calls", k.progs.Container,
			packet{src: server, dst: farClient, proto: unix.IPPROTO_UDP, sport: 80, dport: 4000}.of(f).frame())
		k.refuses("in", "port_exhausted", loopback, k.progs.UplinkIn, tunnelled(peerOuter, serverTag,
			packet{src: farClient, dst: server, proto: unix.IPPROTO_UDP, sport: 4000, dport: 80}.of(f).ip()))
	})
}
