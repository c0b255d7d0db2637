// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func tcp(src, dst netip.Addr, sport, dport uint16, flags uint8) packet {
	return packet{src: src, dst: dst, proto: unix.IPPROTO_TCP, sport: sport, dport: dport, flags: flags, payload: "hello"}
}

func TestContainerTranslatesToLocal(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		for _, c := range []struct {
			name     string
			in, want packet
		}{
			{"tcp", tcp(client, vipLocal, 4000, 80, flagSYN), tcp(clientInst, server, 4000, 80, flagSYN)},
			{"ip options",
				packet{src: client, dst: vipLocal, proto: unix.IPPROTO_TCP, sport: 4001, dport: 80, flags: flagSYN, options: []byte{1, 1, 1, 0}},
				packet{src: clientInst, dst: server, proto: unix.IPPROTO_TCP, sport: 4001, dport: 80, flags: flagSYN, options: []byte{1, 1, 1, 0}}},
			{"udp", packet{src: client, dst: vipLocal, proto: unix.IPPROTO_UDP, sport: 1, dport: 53, payload: "odd"},
				packet{src: clientInst, dst: server, proto: unix.IPPROTO_UDP, sport: 1, dport: 53, payload: "odd"}},
			{"udp without a checksum",
				packet{src: client, dst: vipLocal, proto: unix.IPPROTO_UDP, sport: 2, dport: 53, noChecksum: true},
				packet{src: clientInst, dst: server, proto: unix.IPPROTO_UDP, sport: 2, dport: 53, noChecksum: true}},
			{"echo", packet{src: client, dst: vipLocal, proto: unix.IPPROTO_ICMP, icmp: 8, sport: 99},
				packet{src: clientInst, dst: server, proto: unix.IPPROTO_ICMP, icmp: 8, sport: 99}},
			{"the last port", tcp(client, vipLocal, 65535, 65535, flagSYN), tcp(clientInst, server, 65535, 65535, flagSYN)},
		} {
			t.Run(c.name, func(t *testing.T) {
				k := newKernelOf(t, f)
				verdict, out := k.run(k.progs.Container, c.in.of(f).frame())
				if verdict != verdictRedirect {
					t.Fatalf("verdict %#x, want a redirect; drops %v", verdict, k.drops())
				}
				f.same(t, out, c.want)
			})
		}
	})
}

// TestContainerReplies sends the answer back the way it came: it appears to come from the service address.
func TestContainerReplies(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		for _, c := range []struct {
			name             string
			open, back, want packet
		}{
			{"tcp", tcp(client, vipLocal, 4000, 80, flagSYN), tcp(server, clientInst, 80, 4000, flagSYN|flagACK),
				tcp(vipLocal, client, 80, 4000, flagSYN|flagACK)},
			{"echo", packet{src: client, dst: vipLocal, proto: unix.IPPROTO_ICMP, icmp: 8, sport: 7},
				packet{src: server, dst: clientInst, proto: unix.IPPROTO_ICMP, icmp: 0, sport: 7},
				packet{src: vipLocal, dst: client, proto: unix.IPPROTO_ICMP, icmp: 0, sport: 7}},
		} {
			t.Run(c.name, func(t *testing.T) {
				k := newKernelOf(t, f)
				k.run(k.progs.Container, c.open.of(f).frame())
				verdict, out := k.runFrom(otherLink, k.progs.Container, c.back.of(f).frame())
				if verdict != verdictRedirect {
					t.Fatalf("verdict %#x, want a redirect; drops %v", verdict, k.drops())
				}
				f.same(t, out, c.want)
			})
		}
	})
}

// TestContainerEncapsulates checks every byte of the outer headers. The Ethernet header is the kernel's: bpf_redirect_neigh writes it anew.
func TestContainerEncapsulates(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		verdict, out := k.run(k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).of(f).frame())
		if verdict != verdictRedirect {
			t.Fatalf("verdict %#x, want a redirect; drops %v", verdict, k.drops())
		}
		want := tcp(clientInst, farServer, 4000, 80, flagSYN).of(f)
		f.encapsulated(t, out, farTag, want.ip(), 0, f.sourcePort(t, out))
	})
}

// TestSourcePort holds that packets of one flow leave from one port and those of many flows from many, unless the peer is to see one port
// of all.
func TestSourcePort(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		datagram := func(sport uint16) uint16 {
			p := packet{src: client, dst: vipRemote, proto: unix.IPPROTO_UDP, sport: sport, dport: 53}.of(f)
			return f.sourcePort(t, k.redirects("datagram", k.progs.Container, p.frame()))
		}
		seen, low := map[uint16]int{}, 0
		for sport := range uint16(1000) {
			first := datagram(sport + 1)
			if again := datagram(sport + 1); again != first {
				t.Fatalf("port %d of the flow's first packet, %d of its second", first, again)
			}
			seen[first]++
			if first&0x2000 == 0 {
				low++
			}
		}
		if len(seen) < 900 || low < 400 || low > 600 {
			t.Errorf("1000 flows leave from %d ports, %d of them in the lower half: want them spread", len(seen), low)
		}
		peer, _, err := k.maps.Peers.Lookup(1)
		must(t, err)
		peer.Sport = 40123
		must(t, k.maps.Peers.Put(1, peer))
		for sport := range uint16(10) {
			if got := datagram(sport + 1); got != 40123 {
				t.Errorf("source port %d, want the peer's own, 40123", got)
			}
		}
	})
}

func TestContainerDrops(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		k := newKernel(t)
		short := tcp(client, vipLocal, 1, 2, flagSYN).of(f).frame()
		bad := tcp(client, vipLocal, 1, 2, flagSYN).of(f).frame()
		bad[14] = 0x44 // of IPv4 a header of 16 bytes, of IPv6 another version
		long := tcp(client, vipLocal, 1, 2, flagSYN).of(f).frame()
		long[f.lengthAt()] = 200 // longer than the frame
		arp := tcp(client, vipLocal, 1, 2, flagSYN).of(f).frame()
		arp[12], arp[13] = 8, 6
		other := tcp(client, vipLocal, 1, 2, flagSYN).of(f).frame()
		copy(other[12:], pairing{inner: 1 - f.inner}.etherType())
		otherPort := f.inside(netip.MustParseAddr("192.0.2.3"))
		must(t, k.maps.PeerAddrs.Put(PeerAddr{Addr: AddrFrom(otherPort)}, 3))
		must(t, k.maps.Peers.Put(3, Peer{Outer: AddrFrom(otherPort), Port: 4789, State: PeerUp}))
		padded := tcp(client, vipLocal, 1, 2, flagSYN).of(f).frame()
		padded[f.lengthAt()] -= 6 // the transport header ends behind the packet, in the frame's padding
		for _, c := range []struct {
			name, reason string
			frame        []byte
		}{
			{"cut in the transport header", "malformed", short[:f.l4At()+10]},
			{"transport header in the padding", "malformed", padded},
			{"header too short", "malformed", bad},
			{"longer than it is", "malformed", long},
			{"arp", "not_ip", arp},
			{"not the family that Ethernet says", "malformed", other},
			{"later fragment", "fragment", packet{src: client, dst: vipLocal, proto: unix.IPPROTO_UDP, fragment: 0x0010}.of(f).frame()},
			{"sctp", "protocol", packet{src: client, dst: vipLocal, proto: unix.IPPROTO_SCTP}.of(f).frame()},
			{"timestamp request", "protocol", packet{src: client, dst: vipLocal, proto: unix.IPPROTO_ICMP, icmp: 13}.of(f).frame()},
			{"spoofed", "spoofed_source", tcp(server, vipLocal, 1, 2, flagSYN).of(f).frame()},
			{"namespace address", "namespace_ip", tcp(client, farServer, 1, 2, flagSYN).of(f).frame()},
			{"tunnel packet in the worker's name", "spoofed_source", packet{src: client, dst: outside, proto: unix.IPPROTO_UDP, sport: 1, dport: port}.of(f).frame()},
			{"the same to a peer's other port", "spoofed_source", packet{src: client, dst: otherPort, proto: unix.IPPROTO_UDP, sport: 1, dport: 4789}.of(f).frame()},
			{"the same with options", "spoofed_source", packet{src: client, dst: outside, proto: unix.IPPROTO_UDP, dport: port, options: []byte{1, 1, 1, 0}}.of(f).frame()},
			{"group", "broadcast", tcp(client, netip.MustParseAddr("239.1.1.1"), 1, 2, flagSYN).of(f).frame()},
			{"refused", "no_service", tcp(client, vipRefused, 1, 2, flagSYN).of(f).frame()},
			{"nothing runs", "no_backend", tcp(client, vipEmpty, 1, 2, flagSYN).of(f).frame()},
			{"peer never met", "no_backend", tcp(client, vipUnmet, 1, 2, flagSYN).of(f).frame()},
			{"unknown, nobody to ask", "no_manager", tcp(client, vipUnknown, 1, 2, flagSYN).of(f).frame()},
			{"no opener", "no_flow", tcp(client, vipLocal, 1, 2, flagACK).of(f).frame()},
			{"answer to nothing", "no_flow", packet{src: client, dst: vipLocal, proto: unix.IPPROTO_ICMP, icmp: 0}.of(f).frame()},
		} {
			k.refuses(c.name, c.reason, loopback, k.progs.Container, c.frame)
		}
	})
}

func TestContainerLeavesTheOutsideToTheStack(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		for _, p := range []packet{
			tcp(client, outside, 1, 443, flagSYN),
			tcp(client, gateway, 1, 53, flagSYN),
			{src: client, dst: outside, proto: unix.IPPROTO_UDP, fragment: 0x2000},
			{src: client, dst: outside, proto: unix.IPPROTO_SCTP},
		} {
			verdict, out := k.run(k.progs.Container, p.of(f).frame())
			if verdict != verdictNext {
				t.Errorf("verdict %#x for a packet to %v, want the stack's; drops %v", verdict, p.dst, k.drops())
			}
			f.same(t, out, p)
		}
	})
}

// TestContainerUpcall hands unknown destinations to NetManager, in bounds.
func TestContainerUpcall(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		k.beat()
		p := packet{src: client, dst: vipUnknown, proto: unix.IPPROTO_UDP, sport: 5, dport: 6}
		for i := range 64 {
			verdict, out := k.run(k.progs.Container, p.of(f).frame())
			if verdict != verdictRedirect {
				t.Fatalf("packet %d: verdict %#x, drops %v", i, verdict, k.drops())
			}
			if want := []byte{2, 0x6f, 0, 0, 0, 0, 2, 0x6f, 0x61, 0, 0, 0}; string(out[:12]) != string(want) {
				t.Fatalf("Ethernet header % x, want % x", out[:12], want)
			}
			f.same(t, out, p)
		}
		if verdict, _ := k.run(k.progs.Container, p.of(f).frame()); verdict != verdictDrop || k.drops()["upcall_full"] != 1 {
			t.Errorf("the 65th held packet: verdict %#x, drops %v; want upcall_full", verdict, k.drops())
		}
		pending, ok, err := k.maps.Pending.Lookup(AddrFrom(f.inside(vipUnknown)))
		must(t, err)
		if !ok || pending.Up != 64 || pending.Down != 0 {
			t.Errorf("pending is %+v (%v), want 64 up and 0 down", pending, ok)
		}
		start := time.Now()
		for i := range 200 {
			dst := f.inside(netip.AddrFrom4([4]byte{10, 30, 77, byte(i)}))
			k.run(k.progs.Container, packet{src: client, dst: dst, proto: unix.IPPROTO_UDP}.of(f).frame())
		}
		// A hundred are free, and one more every 10 ms that the loop took.
		least := 99 - min(99, uint64(time.Since(start)/(10*time.Millisecond)))
		if got := k.drops()["upcall_rate"]; got < least || got > 101 {
			t.Errorf("of 201 new misses %d were refused for their rate, want %d to 101", got, least)
		}
	})
}

// TestContainerMovesThePort lets one socket talk to one instance under two addresses: the second flow gets another port.
func TestContainerMovesThePort(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		_, first := k.run(k.progs.Container, packet{src: client, dst: vipRemote, proto: unix.IPPROTO_UDP, sport: 5000, dport: 53}.of(f).frame())
		_, second := k.run(k.progs.Container, packet{src: client, dst: farInst, proto: unix.IPPROTO_UDP, sport: 5000, dport: 53}.of(f).frame())
		a, b := f.sport(first), f.sport(second)
		if a != 5000 || b == 5000 || b < 49152 {
			t.Errorf("source ports %d and %d, want 5000 and another one of the dynamic range", a, b)
		}
		back := packet{src: farServer, dst: clientInst, proto: unix.IPPROTO_UDP, sport: 53, dport: b}
		verdict, out := k.run(k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, back.of(f).ip()))
		if verdict != verdictRedirect {
			t.Fatalf("verdict %#x, drops %v", verdict, k.drops())
		}
		f.same(t, out, packet{src: farInst, dst: client, proto: unix.IPPROTO_UDP, sport: 53, dport: 5000})
	})
}

// TestContainerSeesAnInstanceGo replaces a backend: packets of the old flow are refused, a new one gets the new instance.
func TestContainerSeesAnInstanceGo(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		k.run(k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).of(f).frame())
		b, _, err := k.maps.Backends.Lookup(2)
		must(t, err)
		b.Generation, b.Slot = 2, 1
		must(t, k.maps.Backends.Put(2, b))
		if verdict, _ := k.run(k.progs.Container, tcp(client, vipRemote, 4000, 80, flagACK).of(f).frame()); verdict != verdictRedirect {
			t.Errorf("a packet of the old flow: verdict %#x, want the redirect of an answer", verdict)
		}
		if got := k.drops()["backend_gone"]; got != 1 {
			t.Errorf("drops %v, want backend_gone", k.drops())
		}
		if verdict, _ := k.run(k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).of(f).frame()); verdict != verdictRedirect {
			t.Errorf("a new flow on the same ports: verdict %#x, want a redirect", verdict)
		}
	})
}
