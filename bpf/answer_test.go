// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The world of these tests speaks both families.
var (
	gateway6    = netip.MustParseAddr("fdff:1800::1")
	client6     = netip.MustParseAddr("fdff:1800::2")
	clientInst6 = netip.MustParseAddr("fdff:3000:1::2")
	server6     = netip.MustParseAddr("fdff:1800:1::3")
	vipNone6    = netip.MustParseAddr("fdff:3000::3")
	vipEmpty6   = netip.MustParseAddr("fdff:3000::4")
	vipRemote6  = netip.MustParseAddr("fdff:3000::2")

	clientMAC = [6]byte{2, 0xc, 0, 0, 0, 1}
	hostMAC   = [6]byte{2, 0xa, 0, 0, 0, 2}
)

func newKernelOfBoth(t testing.TB) *kernel {
	t.Helper()
	k := newKernel(t)
	cfg, _, err := k.maps.Config.Lookup(0)
	must(t, err)
	cfg.Services6 = PrefixFrom(netip.MustParsePrefix("fdff:3000::/32"))
	cfg.Workers6 = PrefixFrom(netip.MustParsePrefix("fdff:1800::/32"))
	cfg.Gateway6 = AddrFrom(gateway6)
	must(t, k.maps.Config.Put(0, cfg))
	ep, _, err := k.maps.Endpoints.Lookup(loopback)
	must(t, err)
	ep.Ns[V6], ep.Inst[V6], ep.Mac, ep.HostMac = AddrFrom(client6), AddrFrom(clientInst6), clientMAC, hostMAC
	must(t, k.maps.Endpoints.Put(loopback, ep))
	must(t, k.maps.Local.Put(AddrFrom(client6), loopback))
	k.service(6, vipEmpty6)
	must(t, k.maps.VIPs.Put(AddrFrom(vipNone6), VIP{Policy: PolicyNone}))
	far := Backend{Peer: 1, Tag: farTag, Service: 7, Generation: 1}
	far.SetAddrs([2]netip.Addr{V6: server6}, [2]netip.Addr{V6: netip.MustParseAddr("fdff:3000:1::66")})
	must(t, k.maps.Backends.Put(7, far))
	k.service(7, vipRemote6, 7)
	return k
}

// segment is a TCP header and what follows, without its checksum.
func segment(sport, dport uint16, seq, ack uint32, flags byte, options int, payload string) []byte {
	h := make([]byte, 20+options, 20+options+len(payload))
	binary.BigEndian.PutUint16(h[0:], sport)
	binary.BigEndian.PutUint16(h[2:], dport)
	binary.BigEndian.PutUint32(h[4:], seq)
	binary.BigEndian.PutUint32(h[8:], ack)
	h[12], h[13] = byte(5+options/4)<<4, flags
	for i := range options {
		h[20+i] = 1
	}
	return append(h, payload...)
}

func datagram(sport, dport uint16, payload string) []byte {
	h := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(h[0:], sport)
	binary.BigEndian.PutUint16(h[2:], dport)
	binary.BigEndian.PutUint16(h[4:], uint16(8+len(payload)))
	return append(h, payload...)
}

// built is an IP packet of any family around a transport header, whose checksum it fills in; extra is options or extension headers. The
// program under test made it if ours.
func built(src, dst netip.Addr, proto byte, tos byte, extra, l4 []byte, ours bool) []byte {
	l4 = bytes.Clone(l4)
	var h []byte
	if src.Is4() {
		h = append(make([]byte, 20), extra...)
		h[0], h[1], h[8], h[9] = byte(0x40|len(h)/4), tos, 64, proto
		if ours {
			h[6] = 0x40
		}
		binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(l4)))
		copy(h[12:], src.AsSlice())
		copy(h[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(h[10:], fold(sum(h, 0)))
	} else {
		h = append(make([]byte, 40), extra...)
		h[0], h[6], h[7] = 0x60, proto, 64
		if len(extra) > 0 {
			h[6], h[40] = 60, proto // destination options
		}
		binary.BigEndian.PutUint16(h[4:], uint16(len(h)-40+len(l4)))
		copy(h[8:], src.AsSlice())
		copy(h[24:], dst.AsSlice())
	}
	at := map[byte]int{unix.IPPROTO_TCP: 16, unix.IPPROTO_UDP: 6, unix.IPPROTO_ICMP: 2, unix.IPPROTO_ICMPV6: 2}[proto]
	start := uint32(0)
	if proto != unix.IPPROTO_ICMP {
		start = sum(dst.AsSlice(), sum(src.AsSlice(), uint32(proto)+uint32(len(l4))))
	}
	binary.BigEndian.PutUint16(l4[at:], fold(sum(l4, start)))
	return append(h, l4...)
}

func framed(ip []byte) []byte {
	f := frame(ip)
	if ip[0]>>4 == 6 {
		f[12], f[13] = 0x86, 0xdd
	}
	return f
}

// answered is the frame in which the client gets an answer.
func answered(ip []byte) []byte {
	f := framed(ip)
	copy(f, clientMAC[:])
	copy(f[6:], hostMAC[:])
	return f
}

// errorAbout is the ICMP error that the gateway sends about a packet.
func errorAbout(quoted []byte, kind, code byte, info uint32) []byte {
	quoted = quoted[:min(len(quoted), 128)]
	b := append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, quoted...)
	binary.BigEndian.PutUint32(b[4:], info)
	if quoted[0]>>4 == 4 {
		return built(gateway, client, unix.IPPROTO_ICMP, 0xc0, nil, b, true)
	}
	return built(gateway6, client6, unix.IPPROTO_ICMPV6, 0, nil, b, true)
}

func (k *kernel) answers() (n uint64) {
	perCPU, _, err := k.maps.Stats.Lookup(uint32(mapsOakStatOAK_STAT_ANSWERED))
	must(k.t, err)
	for _, c := range perCPU {
		n += c.Packets
	}
	return n
}

// expect holds what a program makes of a client's packet against the answer that is due; none is due if it is nil.
func (k *kernel) expect(in, answer []byte, reason string) {
	k.t.Helper()
	drops, told := k.drops()[reason], k.answers()
	verdict, out := k.run(k.progs.Container, framed(in))
	if got := k.drops()[reason]; got != drops+1 {
		k.t.Errorf("drops %v, want one more %s", k.drops(), reason)
	}
	if answer == nil {
		if verdict != verdictDrop || k.answers() != told {
			k.t.Errorf("verdict %#x, %d answers; want silence", verdict, k.answers()-told)
		}
		return
	}
	if verdict != verdictRedirect || k.answers() != told+1 {
		k.t.Fatalf("verdict %#x, %d answers; want one, redirected", verdict, k.answers()-told)
	}
	if want := answered(answer); !bytes.Equal(out, want) {
		k.t.Errorf("answer\n% x\nwant\n% x", out, want)
	}
}

func TestResets(t *testing.T) {
	k := newKernelOfBoth(t)
	for _, f := range []struct {
		name              string
		client, none, vip netip.Addr
		extra             []byte
	}{
		{"IPv4", client, vipRefused, vipEmpty, nil},
		{"IPv4 with options", client, vipRefused, vipEmpty, []byte{1, 1, 1, 0, 1, 1, 1, 0}},
		{"IPv6", client6, vipNone6, vipEmpty6, nil},
		{"IPv6 with options", client6, vipNone6, vipEmpty6, []byte{0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
	} {
		for _, c := range []struct {
			name, reason string
			dst          netip.Addr
			in, answer   []byte
		}{
			{"SYN to what nobody has", "no_service", f.none,
				segment(1000, 80, 0xfffffffe, 0, flagSYN, 20, ""), segment(80, 1000, 0, 0xffffffff, flagRST|flagACK, 0, "")},
			{"SYN with data", "no_backend", f.vip,
				segment(1000, 80, 0xfffffffe, 0, flagSYN, 0, "odd"), segment(80, 1000, 0, 2, flagRST|flagACK, 0, "")},
			{"middle of a flow that nobody knows", "no_flow", f.vip,
				segment(1000, 80, 7, 0x12345678, flagACK, 12, strings.Repeat("x", 1001)), segment(80, 1000, 0x12345678, 0, flagRST, 0, "")},
			{"end of one", "no_flow", f.vip, segment(1, 2, 7, 9, flagFIN|flagACK, 0, ""), segment(2, 1, 9, 0, flagRST, 0, "")},
			{"FIN without acknowledgement", "no_flow", f.vip, segment(1, 2, 7, 9, flagFIN, 0, ""), segment(2, 1, 0, 8, flagRST|flagACK, 0, "")},
			{"reset", "no_flow", f.vip, segment(1, 2, 7, 9, flagRST, 0, ""), nil},
			{"reset with all flags", "no_flow", f.vip, segment(1, 2, 7, 9, 0xff, 0, ""), nil},
		} {
			t.Run(f.name+"/"+c.name, func(t *testing.T) {
				k.t = t
				answer := c.answer
				if answer != nil {
					answer = built(c.dst, f.client, unix.IPPROTO_TCP, 0, nil, c.answer, true)
				}
				k.expect(built(f.client, c.dst, unix.IPPROTO_TCP, 0, f.extra, c.in, false), answer, c.reason)
			})
		}
	}
}

func TestErrors(t *testing.T) {
	echo := []byte{8, 0, 0, 0, 0, 7, 0, 1, 'p', 'i', 'n', 'g'}
	echo6 := append([]byte{128}, echo[1:]...)
	reply := append([]byte{0}, echo[1:]...)
	quoting := append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, packet{src: vipLocal, dst: client, proto: unix.IPPROTO_UDP}.ip()...)
	big := strings.Repeat("long", 300)
	for _, c := range []struct {
		name, reason string
		src, dst     netip.Addr
		proto        byte
		extra, l4    []byte
		kind, code   byte // 0: silence
	}{
		{"IPv4 datagram to what nobody has", "no_service", client, vipRefused, unix.IPPROTO_UDP, nil, datagram(1, 2, ""), 3, 3},
		{"IPv4 datagram to a service without instances", "no_backend", client, vipEmpty, unix.IPPROTO_UDP, nil, datagram(1, 2, "odd"), 3, 3},
		{"long IPv4 datagram", "no_backend", client, vipEmpty, unix.IPPROTO_UDP, nil, datagram(1, 2, big), 3, 3},
		{"IPv4 datagram with options", "no_backend", client, vipEmpty, unix.IPPROTO_UDP, []byte{1, 1, 1, 0}, datagram(1, 2, big), 3, 3},
		{"IPv4 echo", "no_backend", client, vipEmpty, unix.IPPROTO_ICMP, nil, echo, 3, 1},
		{"IPv4 echo reply", "no_flow", client, vipEmpty, unix.IPPROTO_ICMP, nil, reply, 0, 0},
		{"IPv4 error", "no_flow", client, vipEmpty, unix.IPPROTO_ICMP, nil, quoting, 0, 0},
		{"IPv6 datagram to what nobody has", "no_service", client6, vipNone6, unix.IPPROTO_UDP, nil, datagram(1, 2, ""), 1, 4},
		{"long IPv6 datagram", "no_backend", client6, vipEmpty6, unix.IPPROTO_UDP, nil, datagram(1, 2, big), 1, 4},
		{"IPv6 datagram with options", "no_backend", client6, vipEmpty6, unix.IPPROTO_UDP, []byte{0, 0, 1, 4, 0, 0, 0, 0}, datagram(1, 2, big), 1, 4},
		{"IPv6 echo", "no_backend", client6, vipEmpty6, unix.IPPROTO_ICMPV6, nil, echo6, 1, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKernelOfBoth(t)
			in := built(c.src, c.dst, c.proto, 0, c.extra, c.l4, false)
			var answer []byte
			if c.kind != 0 {
				answer = errorAbout(in, c.kind, c.code, 0)
			}
			k.expect(in, answer, c.reason)
		})
	}
}

// TestErrorsAboutPieces: of a datagram in pieces the first is answered, no other.
func TestErrorsAboutPieces(t *testing.T) {
	k := newKernelOfBoth(t)
	first := packet{src: client, dst: vipEmpty, proto: unix.IPPROTO_UDP, sport: 1, dport: 2, fragment: 0x2000, payload: "01234567"}
	k.expect(first.ip(), errorAbout(first.ip(), 3, 3, 0), "no_backend")
	later := first
	later.fragment = 0x0002
	k.expect(later.ip(), nil, "no_backend")
}

// TestUnresolvedIsNotForEver: who asks for what could not be found out in time hears that it cannot be reached, not that there is nobody.
func TestUnresolvedIsNotForEver(t *testing.T) {
	k := newKernelOfBoth(t)
	in := built(client, vipUnknown, unix.IPPROTO_TCP, 0, nil, segment(1, 2, 3, 0, flagSYN, 0, ""), false)
	verdict, out := k.run(k.progs.Reinject, marked(framed(in), 0, 0))
	if want := answered(errorAbout(in, 3, 1, 0)); verdict != verdictRedirect || !bytes.Equal(out, want) {
		t.Errorf("verdict %#x, answer\n% x\nwant\n% x", verdict, out, want)
	}
}

// TestTooBig: what is longer than the way to a peer carries is answered with how long it may be, about the packet as its sender knows it.
func TestTooBig(t *testing.T) {
	k := newKernelOfBoth(t)
	peer, _, err := k.maps.Peers.Lookup(1)
	must(t, err)
	peer.Mtu = 1300
	must(t, k.maps.Peers.Put(1, peer))
	at := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name     string
		src, dst netip.Addr
		proto    byte
		open, l4 []byte
		gso      uint32
		tooBig   bool
	}{
		{"IPv4 datagram that fits", client, vipRemote, unix.IPPROTO_UDP, nil, datagram(1, 2, at(1300-28)), 0, false},
		{"IPv4 datagram", client, vipRemote, unix.IPPROTO_UDP, nil, datagram(1, 2, at(1300-27)), 0, true},
		{"IPv6 datagram that fits", client6, vipRemote6, unix.IPPROTO_UDP, nil, datagram(1, 2, at(1300-48)), 0, false},
		{"IPv6 datagram", client6, vipRemote6, unix.IPPROTO_UDP, nil, datagram(1, 2, at(1300-47)), 0, true},
		{"IPv4 super-segment that fits", client, vipRemote, unix.IPPROTO_TCP, segment(3, 4, 0, 0, flagSYN, 0, ""),
			segment(3, 4, 1, 1, flagACK, 12, at(3000)), 1300 - 52, false},
		{"IPv4 super-segment", client, vipRemote, unix.IPPROTO_TCP, segment(5, 4, 0, 0, flagSYN, 0, ""),
			segment(5, 4, 1, 1, flagACK, 12, at(3000)), 1300 - 51, true},
		{"IPv6 super-segment that fits", client6, vipRemote6, unix.IPPROTO_TCP, segment(3, 4, 0, 0, flagSYN, 0, ""),
			segment(3, 4, 1, 1, flagACK, 12, at(3000)), 1300 - 72, false},
		{"IPv6 super-segment", client6, vipRemote6, unix.IPPROTO_TCP, segment(5, 4, 0, 0, flagSYN, 0, ""),
			segment(5, 4, 1, 1, flagACK, 12, at(3000)), 1300 - 71, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k.t = t
			if c.open != nil {
				k.redirects("open", k.progs.Container, framed(built(c.src, c.dst, c.proto, 0, nil, c.open, false)))
			}
			in := built(c.src, c.dst, c.proto, 0, nil, c.l4, false)
			before := k.drops()["too_big"]
			verdict, out := k.runAs(context{Ifindex: loopback, GSOSize: c.gso, GSOSegs: 3}, k.progs.Container, framed(in))
			if got := k.drops()["too_big"] - before; got != 0 != c.tooBig {
				t.Fatalf("%d too big, want %v", got, c.tooBig)
			}
			// A test run's super-segment is of no kind, which the tunnel refuses: here it is enough that it came so far.
			if verdict != verdictRedirect && (c.tooBig || c.gso == 0) {
				t.Fatalf("verdict %#x, drops %v", verdict, k.drops())
			}
			kind, code := byte(3), byte(4)
			if c.src.Is6() {
				kind, code = 2, 0
			}
			if want := answered(errorAbout(in, kind, code, 1300)); c.tooBig && !bytes.Equal(out, want) {
				t.Errorf("answer\n% x\nwant\n% x", out, want)
			}
		})
	}
}

// TestAnswersAreBounded: a container that sends to nobody without end gets no more answers than its share.
func TestAnswersAreBounded(t *testing.T) {
	k := newKernelOfBoth(t)
	in := framed(packet{src: client, dst: vipEmpty, proto: unix.IPPROTO_UDP, sport: 1, dport: 2}.ip())
	for range 1500 {
		k.run(k.progs.Container, in)
	}
	if n := k.answers(); n < 1000 || n >= 1500 {
		t.Errorf("%d answers to 1500 packets, want 1000 and what refills meanwhile", n)
	}
	if n := k.drops()["no_backend"]; n != 1500 {
		t.Errorf("%d counted as dropped, want all 1500", n)
	}
}

// TestGroupsAreNotAnswered: a frame to all of a link gets no answer, whatever its addresses say.
func TestGroupsAreNotAnswered(t *testing.T) {
	k := newKernelOfBoth(t)
	in := framed(packet{src: client, dst: vipEmpty, proto: unix.IPPROTO_UDP, sport: 1, dport: 2}.ip())
	for _, to := range []byte{0xff, 0x01} {
		copy(in, []byte{to, to, to, to, to, to})
		if verdict, _ := k.run(k.progs.Container, in); verdict != verdictDrop || k.answers() != 0 {
			t.Errorf("frame to %#x: verdict %#x, %d answers; want none", to, verdict, k.answers())
		}
	}
}
