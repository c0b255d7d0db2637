// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestUplinkDecapsulates(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		in := tcp(farClient, server, 4000, 80, flagSYN)
		verdict, out := k.run(k.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, in.of(f).ip()))
		if verdict != verdictRedirect {
			t.Fatalf("verdict %#x, drops %v", verdict, k.drops())
		}
		f.same(t, out, in)
		// The answer goes back to the peer with the same tag, untranslated.
		answer := tcp(server, farClient, 80, 4000, flagSYN|flagACK)
		verdict, out = k.runFrom(otherLink, k.progs.Container, answer.of(f).frame())
		if verdict != verdictRedirect || string(f.stripped(out)) != string(answer.of(f).ip()) {
			t.Errorf("answer: verdict %#x\n% x\nwant a redirect of\n% x", verdict, f.stripped(out), answer.of(f).ip())
		}
		f.encapsulated(t, out, serverTag, answer.of(f).ip(), 0, f.sourcePort(t, out))
	})
}

// TestAnswersNeedNoMeeting: a peer that has been located may open flows before it has told that it has located us too. Its instances are not
// chosen yet, but answers to it go out.
func TestAnswersNeedNoMeeting(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		located, _, err := k.maps.Peers.Lookup(1)
		must(t, err)
		located.State = PeerGreeting
		must(t, k.maps.Peers.Put(1, located))
		open := tcp(farClient, server, 4000, 80, flagSYN)
		if verdict, _ := k.run(k.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, open.of(f).ip())); verdict != verdictRedirect {
			t.Fatalf("verdict %#x, drops %v", verdict, k.drops())
		}
		answer := tcp(server, farClient, 80, 4000, flagSYN|flagACK)
		if verdict, _ := k.runFrom(otherLink, k.progs.Container, answer.of(f).frame()); verdict != verdictRedirect {
			t.Errorf("answer: verdict %#x, drops %v; want a redirect", verdict, k.drops())
		}
		if k.run(k.progs.Container, tcp(client, vipRemote, 1, 2, flagSYN).of(f).frame()); k.drops()["no_backend"] != 1 {
			t.Errorf("a new flow to the peer: drops %v, want no_backend", k.drops())
		}
	})
}

func TestUplinkDrops(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		ok := tcp(farClient, server, 1, 2, flagSYN).of(f).ip()
		for _, c := range []struct {
			name, reason string
			frame        []byte
		}{
			{"stranger", "unknown_peer", tunnelled(f.outside(outside), serverTag, ok)},
			{"tag", "bad_tag", tunnelled(f.outside(peerOuter), serverTag^1, ok)},
			{"tag 0", "bad_tag", tunnelled(f.outside(peerOuter), 0, ok)},
			{"source outside the overlay", "bad_source", tunnelled(f.outside(peerOuter), serverTag, tcp(outside, server, 1, 2, flagSYN).of(f).ip())},
			{"namespace address as source", "bad_source", tunnelled(f.outside(peerOuter), serverTag, tcp(farServer, server, 1, 2, flagSYN).of(f).ip())},
			{"to the host", "no_endpoint", tunnelled(f.outside(peerOuter), serverTag, tcp(farClient, selfOuter, 1, 2, flagSYN).of(f).ip())},
			{"to loopback", "no_endpoint", tunnelled(f.outside(peerOuter), serverTag, tcp(farClient, netip.MustParseAddr("127.0.0.1"), 1, 2, flagSYN).of(f).ip())},
			{"not here", "stale_route", tunnelled(f.outside(peerOuter), serverTag, tcp(farClient, farServer, 1, 2, flagSYN).of(f).ip())},
			{"middle of a flow", "no_flow", tunnelled(f.outside(peerOuter), serverTag, tcp(farClient, server, 1, 2, flagACK).of(f).ip())},
			{"tunnel in tunnel", "bad_source", tunnelled(f.outside(peerOuter), serverTag,
				packet{src: peerOuter, dst: server, proto: unix.IPPROTO_UDP, sport: 1, dport: port}.of(f).ip())},
			{"overlay source in the open", "overlay_on_uplink", tcp(farClient, outside, 1, 2, flagSYN).of(f).frame()},
			{"overlay destination in the open", "overlay_on_uplink", tcp(outside, server, 1, 2, flagSYN).of(f).frame()},
		} {
			k.refuses(c.name, c.reason, loopback, k.progs.UplinkIn, c.frame)
		}
	})
}

// TestUplinkRefusesOuterHeaders holds that a tunnel packet comes whole, with nothing between its headers, and from an address that is one.
func TestUplinkRefusesOuterHeaders(t *testing.T) {
	k := newKernel(t)
	must(t, k.maps.PeerAddrs.Put(PeerAddr{Addr: AddrFrom(to6(peerOuter))}, 1))
	ok := tunnelled(peerOuter, serverTag, tcp(farClient, server, 1, 2, flagSYN).ip())
	ok6 := tunnelled(to6(peerOuter), serverTag, tcp(farClient, server, 1, 2, flagSYN).ip())
	outer := packet{src: peerOuter, dst: selfOuter, proto: unix.IPPROTO_UDP, sport: 50000, dport: port, payload: string(ok[42:])}
	options, piece := outer, outer
	options.options, piece.fragment = []byte{1, 1, 1, 0}, 0x2000
	mapped := bytes.Clone(ok6)
	address := AddrFrom(peerOuter)
	copy(mapped[22:], address.B[:])
	for _, c := range []struct {
		name, reason string
		frame        []byte
	}{
		{"first fragment", "outer_fragment", piece.frame()},
		{"options", "bad_header", options.frame()},
		{"cut in the UDP header", "malformed", ok[:14+20+6]},
		{"cut in the UDP header of IPv6", "malformed", ok6[:14+40+6]},
		{"cut in the tunnel header", "bad_header", ok[:14+20+8+6]},
		{"cut in the tunnel header over IPv6", "bad_header", ok6[:14+40+8+6]},
		{"nothing inside", "decap_failed", ok[:14+36]},
		{"nothing inside over IPv6", "decap_failed", ok6[:14+56]},
		{"less than a header inside", "decap_failed", ok[:14+36+19]},
		{"an IPv4 address in IPv6", "unknown_peer", mapped},
	} {
		k.refuses(c.name, c.reason, loopback, k.progs.UplinkIn, c.frame)
	}
	k.redirects("the right one", k.progs.UplinkIn, ok)
	k.redirects("the right one over IPv6", k.progs.UplinkIn, ok6)
}

func TestUplinkLeavesTheRestToTheStack(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		p := tcp(outside, selfOuter, 1, 22, flagSYN)
		if verdict, out := k.run(k.progs.UplinkIn, p.of(f).frame()); verdict != verdictNext {
			t.Errorf("verdict %#x for ssh to the host, want the stack's", verdict)
		} else {
			f.same(t, out, p)
		}
		if verdict, _ := k.run(k.progs.UplinkOut, tcp(selfOuter, outside, 1, 2, flagSYN).of(f).frame()); verdict != verdictNext {
			t.Errorf("verdict %#x for the host's own packet on its way out, want the stack's", verdict)
		}
		if verdict, _ := k.run(k.progs.UplinkOut, tcp(client, outside, 1, 2, flagSYN).of(f).frame()); verdict != verdictDrop {
			t.Errorf("verdict %#x for a container's packet that was not masqueraded, want a drop", verdict)
		}
	})
}

func TestUplinkHandsHelloUp(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		reader, err := ringbuf.NewReader(k.maps.Events)
		must(t, err)
		defer reader.Close()
		body := append([]byte{0x0c, 0, 0, 0xfe, 0, 0, 0, 0}, "a hello of somebody"...)
		frame := packet{src: outside, dst: selfOuter, proto: unix.IPPROTO_UDP, sport: 1234, dport: port, payload: string(body)}.of(f).frame()
		if verdict, _ := k.run(k.progs.UplinkIn, frame); verdict != verdictDrop {
			t.Errorf("verdict %#x, want that the kernel gets nothing of it", verdict)
		}
		reader.SetDeadline(time.Now().Add(time.Second))
		record, err := reader.Read()
		must(t, err)
		if got := string(record.RawSample[44 : 44+19]); got != "a hello of somebody" {
			t.Errorf("NetManager gets %q", got)
		}
		if d := k.drops(); len(d) != 0 {
			t.Errorf("drops %v, want none", d)
		}
	})
}

// TestHelloFlood lets a stranger send hellos without end: NetManager sees a bounded number, and those of a peer all the same.
func TestHelloFlood(t *testing.T) {
	k := newKernel(t)
	reader, err := ringbuf.NewReader(k.maps.Events)
	must(t, err)
	defer reader.Close()
	body := string(append([]byte{0x0c, 0, 0, 0xfe, 0, 0, 0, 0}, make([]byte, 136)...))
	seen := map[byte]int{} // by the last byte of the sender's address
	drain := func() {
		reader.SetDeadline(time.Now())
		for {
			record, err := reader.Read()
			if err != nil {
				return
			}
			seen[record.RawSample[4+15]]++
		}
	}
	hellos := func(from netip.Addr, n int) {
		p := packet{src: from, dst: selfOuter, proto: unix.IPPROTO_UDP, sport: 1, dport: port, payload: body}.frame()
		for i := range n {
			k.run(k.progs.UplinkIn, p)
			if i%200 == 0 {
				drain()
			}
		}
		drain()
	}
	start := time.Now()
	hellos(outside, 6000)
	hellos(peerOuter, 50)
	limit := 2000 + int(2000*time.Since(start).Seconds()) + 1
	if n := seen[outside.As4()[3]]; n < 2000 || n > limit {
		t.Errorf("NetManager saw %d of 6000 hellos of strangers, want between 2000 and %d", n, limit)
	}
	if n := seen[peerOuter.As4()[3]]; n != 50 {
		t.Errorf("NetManager saw %d of a peer's 50 hellos", n)
	}
	if k.drops()["hello_full"] == 0 {
		t.Error("none was counted as dropped")
	}
}

// TestUplinkNeverPassesTheTunnelPort throws any bytes at the tunnel port: whatever they are, the kernel's device gets none, and nothing
// is delivered that does not carry a tag of this worker.
func TestUplinkNeverPassesTheTunnelPort(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		rapid.Check(t, func(r *rapid.T) {
			body := rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(r, "body")
			if rapid.Bool().Draw(r, "with a good header") {
				body = append([]byte{0x0c, 0, 0, rapid.SampledFrom([]byte{1, 2, 0xfe, 0}).Draw(r, "next"), 0xab, 0xcd, 0xef, 0}, body...)
			}
			from := rapid.SampledFrom([]netip.Addr{peerOuter, outside}).Draw(r, "from")
			frame := packet{src: f.outside(from), dst: f.outside(selfOuter), proto: unix.IPPROTO_UDP, sport: 1, dport: port, payload: string(body)}.frame()
			if verdict, _ := k.run(k.progs.UplinkIn, frame); verdict != verdictDrop {
				r.Fatalf("verdict %#x for % x", verdict, body)
			}
		})
	})
}

// TestTranslationIsItsOwnInverse opens flows with any ports and payload through the tunnel; what comes back reaches the client as if
// from the service, checksums right.
func TestTranslationIsItsOwnInverse(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		rapid.Check(t, func(r *rapid.T) {
			proto := rapid.SampledFrom([]uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP}).Draw(r, "proto")
			sport, dport := rapid.Uint16().Draw(r, "sport"), rapid.Uint16().Draw(r, "dport")
			payload := rapid.StringN(0, 40, 60).Draw(r, "payload")
			open := packet{src: client, dst: vipRemote, proto: proto, sport: sport, dport: dport, flags: flagSYN, payload: payload}
			verdict, out := k.run(k.progs.Container, open.of(f).frame())
			want := packet{src: clientInst, dst: farServer, proto: proto, sport: sport, dport: dport, flags: flagSYN, payload: payload}
			if verdict != verdictRedirect || string(f.stripped(out)) != string(want.of(f).ip()) {
				r.Fatalf("there: verdict %#x\n% x\nwant\n% x\ndrops %v", verdict, f.stripped(out), want.of(f).ip(), k.drops())
			}
			back := packet{src: farServer, dst: clientInst, proto: proto, sport: dport, dport: sport, flags: flagSYN | flagACK, payload: payload}
			verdict, out = k.run(k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, back.of(f).ip()))
			want = packet{src: vipRemote, dst: client, proto: proto, sport: dport, dport: sport, flags: flagSYN | flagACK, payload: payload}
			if verdict != verdictRedirect || string(out[14:]) != string(want.of(f).ip()) {
				r.Fatalf("back: verdict %#x\n% x\nwant\n% x\ndrops %v", verdict, out[14:], want.of(f).ip(), k.drops())
			}
		})
	})
}
