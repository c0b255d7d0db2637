// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func tcp(src, dst netip.Addr, sport, dport uint16, flags uint8) packet {
	return packet{src: src, dst: dst, proto: unix.IPPROTO_TCP, sport: sport, dport: dport, flags: flags, payload: "hello"}
}

func TestContainerTranslatesToLocal(t *testing.T) {
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
			k := newKernel(t)
			verdict, out := k.run(k.progs.Container, c.in.frame())
			if verdict != verdictRedirect {
				t.Fatalf("verdict %#x, want a redirect; drops %v", verdict, k.drops())
			}
			same(t, out, c.want)
		})
	}
}

// TestContainerReplies sends the answer back the way it came: it appears to come from the service address.
func TestContainerReplies(t *testing.T) {
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
			k := newKernel(t)
			k.run(k.progs.Container, c.open.frame())
			verdict, out := k.runFrom(otherLink, k.progs.Container, c.back.frame())
			if verdict != verdictRedirect {
				t.Fatalf("verdict %#x, want a redirect; drops %v", verdict, k.drops())
			}
			same(t, out, c.want)
		})
	}
}

// TestContainerEncapsulates checks every byte of the outer headers.
func TestContainerEncapsulates(t *testing.T) {
	k := newKernel(t)
	in := tcp(client, vipRemote, 4000, 80, flagSYN)
	verdict, out := k.run(k.progs.Container, in.frame())
	if verdict != verdictRedirect {
		t.Fatalf("verdict %#x, want a redirect; drops %v", verdict, k.drops())
	}
	inner := tcp(clientInst, farServer, 4000, 80, flagSYN).ip()
	if string(out[50:]) != string(inner) {
		t.Errorf("inner packet\n% x\nwant\n% x", out[50:], inner)
	}
	ip := out[14:34]
	if ip[0] != 0x45 || ip[8] != 64 || ip[9] != unix.IPPROTO_UDP || binary.BigEndian.Uint16(ip[6:]) != 0x4000 {
		t.Errorf("outer IP header % x: want version 4, no options, TTL 64, UDP, DF", ip)
	}
	if got := binary.BigEndian.Uint16(ip[2:]); int(got) != len(inner)+36 {
		t.Errorf("outer length %d, want %d", got, len(inner)+36)
	}
	if fold(sum(ip, 0)) != 0 {
		t.Errorf("outer header checksum of % x is wrong", ip)
	}
	if src, dst := netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20])); src != selfOuter || dst != peerOuter {
		t.Errorf("outer addresses %v → %v, want %v → %v", src, dst, selfOuter, peerOuter)
	}
	u := out[34:42]
	if sport := binary.BigEndian.Uint16(u); sport < 49152 {
		t.Errorf("outer source port %d is not in the dynamic range", sport)
	}
	if binary.BigEndian.Uint16(u[2:]) != port || int(binary.BigEndian.Uint16(u[4:])) != len(inner)+16 || u[6] != 0 || u[7] != 0 {
		t.Errorf("outer UDP header % x: want port %d, length %d, no checksum", u, port, len(inner)+16)
	}
	if got, want := out[42:50], []byte{0x0c, 0, 0, 1, 0x12, 0x34, 0x56, 0}; string(got) != string(want) {
		t.Errorf("tunnel header % x, want % x", got, want)
	}
}

func TestContainerDrops(t *testing.T) {
	short := tcp(client, vipLocal, 1, 2, flagSYN).frame()
	bad := tcp(client, vipLocal, 1, 2, flagSYN).frame()
	bad[14] = 0x44 // a header of 16 bytes
	long := tcp(client, vipLocal, 1, 2, flagSYN).frame()
	long[17] = 200 // longer than the frame
	arp := tcp(client, vipLocal, 1, 2, flagSYN).frame()
	arp[12], arp[13] = 8, 6
	v6 := tcp(client, vipLocal, 1, 2, flagSYN).frame()
	v6[12], v6[13] = 0x86, 0xdd
	otherPort := netip.MustParseAddr("192.0.2.3")
	padded := tcp(client, vipLocal, 1, 2, flagSYN).frame()
	padded[17] = 39 // the transport header ends behind the packet, in the frame's padding
	for _, c := range []struct {
		name, reason string
		frame        []byte
	}{
		{"cut in the transport header", "malformed", short[:14+20+10]},
		{"transport header in the padding", "malformed", padded},
		{"header too short", "malformed", bad},
		{"longer than it is", "malformed", long},
		{"arp", "not_ip", arp},
		{"IPv6 that is IPv4", "malformed", v6},
		{"later fragment", "fragment", packet{src: client, dst: vipLocal, proto: unix.IPPROTO_UDP, fragment: 0x0010}.frame()},
		{"sctp", "protocol", packet{src: client, dst: vipLocal, proto: unix.IPPROTO_SCTP}.frame()},
		{"timestamp request", "protocol", packet{src: client, dst: vipLocal, proto: unix.IPPROTO_ICMP, icmp: 13}.frame()},
		{"spoofed", "spoofed_source", tcp(server, vipLocal, 1, 2, flagSYN).frame()},
		{"namespace address", "namespace_ip", tcp(client, farServer, 1, 2, flagSYN).frame()},
		{"tunnel packet in the worker's name", "spoofed_source", packet{src: client, dst: outside, proto: unix.IPPROTO_UDP, sport: 1, dport: port}.frame()},
		{"the same to a peer's other port", "spoofed_source", packet{src: client, dst: otherPort, proto: unix.IPPROTO_UDP, sport: 1, dport: 4789}.frame()},
		{"the same with options", "spoofed_source", packet{src: client, dst: outside, proto: unix.IPPROTO_UDP, dport: port, options: []byte{1, 1, 1, 0}}.frame()},
		{"group", "broadcast", tcp(client, netip.MustParseAddr("239.1.1.1"), 1, 2, flagSYN).frame()},
		{"refused", "no_service", tcp(client, vipRefused, 1, 2, flagSYN).frame()},
		{"nothing runs", "no_backend", tcp(client, vipEmpty, 1, 2, flagSYN).frame()},
		{"peer never met", "no_backend", tcp(client, vipUnmet, 1, 2, flagSYN).frame()},
		{"unknown, nobody to ask", "no_manager", tcp(client, vipUnknown, 1, 2, flagSYN).frame()},
		{"no opener", "no_flow", tcp(client, vipLocal, 1, 2, flagACK).frame()},
		{"answer to nothing", "no_flow", packet{src: client, dst: vipLocal, proto: unix.IPPROTO_ICMP, icmp: 0}.frame()},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKernel(t)
			must(t, k.maps.PeerAddrs.Put(PeerAddr{Addr: AddrFrom(otherPort)}, 3))
			must(t, k.maps.Peers.Put(3, Peer{Outer: AddrFrom(otherPort), Port: 4789, State: PeerUp}))
			verdict, _ := k.run(k.progs.Container, c.frame)
			if got := k.drops(); verdict != verdictDrop || got[c.reason] != 1 || len(got) != 1 {
				t.Errorf("verdict %#x, drops %v; want a drop for %s alone", verdict, got, c.reason)
			}
		})
	}
}

func TestContainerLeavesTheOutsideToTheStack(t *testing.T) {
	k := newKernel(t)
	for _, p := range []packet{
		tcp(client, outside, 1, 443, flagSYN),
		tcp(client, gateway, 1, 53, flagSYN),
		{src: client, dst: outside, proto: unix.IPPROTO_UDP, fragment: 0x2000},
		{src: client, dst: outside, proto: unix.IPPROTO_SCTP},
	} {
		verdict, out := k.run(k.progs.Container, p.frame())
		if verdict != verdictNext {
			t.Errorf("verdict %#x for a packet to %v, want the stack's; drops %v", verdict, p.dst, k.drops())
		}
		same(t, out, p)
	}
}

// TestContainerUpcall hands unknown destinations to NetManager, in bounds.
func TestContainerUpcall(t *testing.T) {
	k := newKernel(t)
	k.beat()
	p := packet{src: client, dst: vipUnknown, proto: unix.IPPROTO_UDP, sport: 5, dport: 6}
	for i := range 64 {
		verdict, out := k.run(k.progs.Container, p.frame())
		if verdict != verdictRedirect {
			t.Fatalf("packet %d: verdict %#x, drops %v", i, verdict, k.drops())
		}
		if want := []byte{2, 0x6f, 0, 0, 0, 0, 2, 0x6f, 0x61, 0, 0, 0}; string(out[:12]) != string(want) {
			t.Fatalf("Ethernet header % x, want % x", out[:12], want)
		}
		same(t, out, p)
	}
	if verdict, _ := k.run(k.progs.Container, p.frame()); verdict != verdictDrop || k.drops()["upcall_full"] != 1 {
		t.Errorf("the 65th held packet: verdict %#x, drops %v; want upcall_full", verdict, k.drops())
	}
	pending, ok, err := k.maps.Pending.Lookup(AddrFrom(vipUnknown))
	must(t, err)
	if !ok || pending.Up != 64 || pending.Down != 0 {
		t.Errorf("pending is %+v (%v), want 64 up and 0 down", pending, ok)
	}
	start := time.Now()
	for i := range 200 {
		dst := netip.AddrFrom4([4]byte{10, 30, 77, byte(i)})
		k.run(k.progs.Container, packet{src: client, dst: dst, proto: unix.IPPROTO_UDP}.frame())
	}
	// A hundred are free, and one more every 10 ms that the loop took.
	least := 99 - min(99, uint64(time.Since(start)/(10*time.Millisecond)))
	if got := k.drops()["upcall_rate"]; got < least || got > 101 {
		t.Errorf("of 201 new misses %d were refused for their rate, want %d to 101", got, least)
	}
}

// TestContainerMovesThePort lets one socket talk to one instance under two addresses: the second flow gets another port.
func TestContainerMovesThePort(t *testing.T) {
	k := newKernel(t)
	_, first := k.run(k.progs.Container, packet{src: client, dst: vipRemote, proto: unix.IPPROTO_UDP, sport: 5000, dport: 53}.frame())
	_, second := k.run(k.progs.Container, packet{src: client, dst: farInst, proto: unix.IPPROTO_UDP, sport: 5000, dport: 53}.frame())
	a, b := binary.BigEndian.Uint16(first[70:]), binary.BigEndian.Uint16(second[70:])
	if a != 5000 || b == 5000 || b < 49152 {
		t.Errorf("source ports %d and %d, want 5000 and another one of the dynamic range", a, b)
	}
	back := packet{src: farServer, dst: clientInst, proto: unix.IPPROTO_UDP, sport: 53, dport: b}
	verdict, out := k.run(k.progs.UplinkIn, tunnelled(peerOuter, farTag, back.ip()))
	if verdict != verdictRedirect {
		t.Fatalf("verdict %#x, drops %v", verdict, k.drops())
	}
	same(t, out, packet{src: farInst, dst: client, proto: unix.IPPROTO_UDP, sport: 53, dport: 5000})
}

// TestContainerSeesAnInstanceGo replaces a backend: packets of the old flow are dropped, a new one gets the new instance.
func TestContainerSeesAnInstanceGo(t *testing.T) {
	k := newKernel(t)
	k.run(k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).frame())
	b, _, err := k.maps.Backends.Lookup(2)
	must(t, err)
	b.Generation, b.Slot = 2, 1
	must(t, k.maps.Backends.Put(2, b))
	if verdict, _ := k.run(k.progs.Container, tcp(client, vipRemote, 4000, 80, flagACK).frame()); verdict != verdictDrop {
		t.Errorf("a packet of the old flow: verdict %#x, want a drop", verdict)
	}
	if got := k.drops()["backend_gone"]; got != 1 {
		t.Errorf("drops %v, want backend_gone", k.drops())
	}
	if verdict, _ := k.run(k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).frame()); verdict != verdictRedirect {
		t.Errorf("a new flow on the same ports: verdict %#x, want a redirect", verdict)
	}
}
