// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// narrow is a world of which one way is narrow: the client has a flow to the far server, and a packet of it was too long for a router.
type narrow struct {
	*kernel
	f    pairing
	sent []byte // what the router got: the packet with its outer headers
}

// payloadOf is as much as makes a datagram of the flow so long, from the IP header on.
func payloadOf(f pairing, size int) string {
	return strings.Repeat("x", size-[2]int{28, 48}[f.inner])
}

func newNarrow(t *testing.T, f pairing) *narrow { return newNarrowOn(t, f, Kernel{DecapL3: true}) }

func newNarrowOn(t *testing.T, f pairing, on Kernel) *narrow {
	t.Helper()
	w := &narrow{kernel: newKernelOn(t, f, on), f: f}
	peer, _, err := w.maps.Peers.Lookup(1)
	must(t, err)
	peer.Mtu = uint16(1500 - Overhead(f.outer == V4))
	must(t, w.maps.Peers.Put(1, peer))
	out := w.redirects("a packet that is too long for a router", w.progs.Container, w.datagram(1440))
	w.sent = out[14:]
	return w
}

func (w *narrow) datagram(size int) []byte {
	return packet{src: client, dst: vipRemote, proto: unix.IPPROTO_UDP, sport: 4000, dport: 53, payload: payloadOf(w.f, size)}.of(w.f).frame()
}

// carries is what the tunnel carries over a way of that MTU.
func (w *narrow) carries(mtu int) int { return mtu - Overhead(w.f.outer == V4) }

// tooBig is the frame of a router's error about a quoted packet.
func (w *narrow) tooBig(mtu int, quoted []byte) []byte {
	return w.errorFor(w.f.outside(selfOuter), [2]byte{3, 2}[w.f.outer], [2]byte{4, 0}[w.f.outer], mtu, quoted)
}

func (w *narrow) errorFor(to netip.Addr, kind, code byte, mtu int, quoted []byte) []byte {
	l4 := append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, quoted...)
	binary.BigEndian.PutUint32(l4[4:], uint32(mtu))
	p := packet{src: w.f.outside(outside), dst: to, proto: unix.IPPROTO_ICMP}
	binary.BigEndian.PutUint16(l4[2:], fold(sum(l4, p.pseudo(len(l4)))))
	return frame(p.around(l4))
}

// quote is as much of the packet as routers quote, changed.
func (w *narrow) quote(n int, change func(outer, gpe, inner []byte)) []byte {
	q := append([]byte{}, w.sent[:n]...)
	if change != nil {
		at := Overhead(w.f.outer == V4) - 8
		change(q[:at], q[at:at+8], q[at+8:])
	}
	return q
}

func (w *narrow) stat(which uint32) (n uint64) {
	perCPU, _, err := w.maps.Stats.Lookup(which)
	must(w.t, err)
	for _, c := range perCPU {
		n += c.Packets
	}
	return n
}

const (
	lowered = uint32(mapsOakStatOAK_STAT_PATH_LOWERED)
	refused = uint32(mapsOakStatOAK_STAT_PATH_REFUSED)
)

// limit is what the tunnel carries for what routers have said; 0 if they have not.
func (w *narrow) limit() int {
	peer, _, err := w.maps.Peers.Lookup(1)
	must(w.t, err)
	path, _, err := w.maps.Paths.Lookup(1)
	must(w.t, err)
	return int(path.Limit(peer, time.Duration(nanoseconds(w.t))))
}

// says gives an error to the program, which leaves it to the stack whatever it is. It returns whether it was believed, and whether it was
// refused.
func (w *narrow) says(what string, in []byte) (believed, denied bool) {
	w.t.Helper()
	was, wasDenied := w.stat(lowered), w.stat(refused)
	verdict, out := w.run(w.progs.UplinkIn, in)
	if verdict != verdictNext || string(out) != string(in) {
		w.t.Errorf("%s: verdict %#x, changed %v; the host has to get it as it is", what, verdict, string(out) != string(in))
	}
	return w.stat(lowered) != was, w.stat(refused) != wasDenied
}

// passes holds whether a datagram of so many bytes goes out to the peer, and what its sender is told if not.
func (w *narrow) passes(what string, size, told int) {
	w.t.Helper()
	drops := w.drops()["too_big"]
	verdict, out := w.run(w.progs.Container, w.datagram(size))
	if got := w.drops()["too_big"] - drops; verdict != verdictRedirect || got != 0 != (told != 0) {
		w.t.Fatalf("%s: %d bytes: verdict %#x, too_big %d; want that it is too big: %v", what, size, verdict, got, told != 0)
	}
	if told == 0 {
		return
	}
	mtu := int(binary.BigEndian.Uint32(out[w.f.l4At()+4:]))
	if kind := [2]byte{3, 2}[w.f.inner]; out[w.f.l4At()] != kind || mtu != told {
		w.t.Errorf("%s: the sender got type %d with MTU %d, want %d with %d", what, out[w.f.l4At()], mtu, kind, told)
	}
}

// TestARouterNarrowsAWay: what a router says of a packet of ours is what senders are told from then on, until it is forgotten or the peer
// is elsewhere.
func TestARouterNarrowsAWay(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		w := newNarrow(t, f)
		w.passes("before", 1440, 0)
		if believed, _ := w.says("1400", w.tooBig(1400, w.quote(128, nil))); !believed || w.limit() != w.carries(1400) {
			t.Fatalf("a router said 1400: the limit is %d, want %d", w.limit(), w.carries(1400))
		}
		w.passes("after", w.carries(1400), 0)
		w.passes("after", w.carries(1400)+1, w.carries(1400))
		// Another flow, the other way round: an answer of a server here.
		open := packet{src: farClient, dst: server, proto: unix.IPPROTO_UDP, sport: 7, dport: 8, payload: "hello"}.of(f)
		w.redirects("from the peer", w.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, open.ip()))
		answer := packet{src: server, dst: farClient, proto: unix.IPPROTO_UDP, sport: 8, dport: 7, payload: payloadOf(f, 1440)}.of(f)
		before := w.drops()["too_big"]
		if w.runFrom(otherLink, w.progs.Container, answer.frame()); w.drops()["too_big"] != before+1 {
			t.Errorf("an answer of 1440 bytes: drops %v, want one more that is too big", w.drops())
		}

		if believed, denied := w.says("the same again", w.tooBig(1400, w.quote(128, nil))); believed || denied {
			t.Errorf("the same again: believed %v, refused %v; want neither", believed, denied)
		}
		if believed, denied := w.says("more", w.tooBig(1420, w.quote(128, nil))); believed || denied || w.limit() != w.carries(1400) {
			t.Errorf("more: believed %v, refused %v, limit %d; want that a way never widens by being told so", believed, denied, w.limit())
		}
		if believed, _ := w.says("less", w.tooBig(1380, w.quote(128, nil))); !believed || w.limit() != w.carries(1380) {
			t.Errorf("less: the limit is %d, want %d", w.limit(), w.carries(1380))
		}

		path, _, err := w.maps.Paths.Lookup(1)
		must(t, err)
		peer, _, err := w.maps.Peers.Lookup(1)
		must(t, err)
		if kept := time.Duration(path.Until - path.Learned); kept != 10*time.Minute {
			t.Errorf("kept for %s, want 10 minutes", kept)
		}
		// What NetManager writes of the peer, as it does with each hello, changes nothing of it.
		must(t, w.maps.Peers.Put(1, peer))
		w.passes("after a hello", 1440, w.carries(1380))
		moved := peer
		moved.Outer = AddrFrom(f.outside(netip.MustParseAddr("192.0.2.77")))
		must(t, w.maps.Peers.Put(1, moved))
		w.passes("to where the peer is now", 1440, 0)
		moved = peer
		moved.Local = AddrFrom(f.outside(netip.MustParseAddr("192.0.2.78")))
		must(t, w.maps.Peers.Put(1, moved))
		w.passes("from where we are now", 1440, 0)
		must(t, w.maps.Peers.Put(1, peer))
		w.passes("back again", 1440, w.carries(1380))
		path.Until = nanoseconds(t) - uint64(20*time.Millisecond) // the programs' clock is a coarse one
		must(t, w.maps.Paths.Put(1, path))
		w.passes("forgotten", 1440, 0)
		if w.limit() != 0 {
			t.Errorf("Go says that it is limited to %d still", w.limit())
		}
		// Found out anew by use.
		if believed, _ := w.says("again", w.tooBig(1400, w.quote(128, nil))); !believed {
			t.Error("what was forgotten is not believed again")
		}
		w.passes("anew", 1440, w.carries(1400))
	})
}

// TestHowLongAWayIsNarrow is for the kernel's setting to say.
func TestHowLongAWayIsNarrow(t *testing.T) {
	w := newNarrowOn(t, pairing{}, Kernel{PathKept: 50 * time.Millisecond})
	if believed, _ := w.says("1400", w.tooBig(1400, w.quote(128, nil))); !believed {
		t.Fatal("not believed")
	}
	time.Sleep(60 * time.Millisecond)
	w.passes("forgotten", 1440, 0)
}

// TestForgedErrorsNarrowNothing: an error has to quote what only a router on the way has seen.
func TestForgedErrorsNarrowNothing(t *testing.T) {
	type change = func(outer, gpe, inner []byte)
	flip := func(in func(outer, gpe, inner []byte) []byte, at int) change {
		return func(outer, gpe, inner []byte) { in(outer, gpe, inner)[at] ^= 1 }
	}
	outer := func(o, _, _ []byte) []byte { return o }
	gpe := func(_, g, _ []byte) []byte { return g }
	inner := func(_, _, i []byte) []byte { return i }
	eachPairing(t, func(t *testing.T, f pairing) {
		w := newNarrow(t, f)
		src, dst, udp := [2]int{15, 23}[f.outer], [2]int{19, 39}[f.outer], [2]int{20, 40}[f.outer]
		innerSrc, innerDst, innerUDP := [2]int{15, 23}[f.inner], [2]int{19, 39}[f.inner], [2]int{20, 40}[f.inner]
		zero := func(b []byte) { clear(b) }
		for name, c := range map[string]struct {
			mtu    int
			change change
			silent bool // it is not even about a peer of ours
		}{
			"another source outside":    {1400, flip(outer, src), false},
			"a port that is not ours":   {1400, func(o, _, _ []byte) { zero(o[udp : udp+2]) }, false},
			"shorter than what it says": {1400, func(o, _, _ []byte) { copy(o[[2]int{2, 4}[f.outer]:], []byte{0x05, 0x00}) }, false},
			"less than any link":        {[2]int{575, 1279}[f.outer], nil, false},
			"no MTU at all":             {0, nil, false},
			"another tag":               {1400, flip(gpe, 6), false},
			"tag of another endpoint":   {1400, func(_, g, _ []byte) { copy(g[4:], []byte{0xab, 0xcd, 0xef}) }, false},
			"a flag":                    {1400, flip(gpe, 0), false},
			"a hello":                   {1400, func(_, g, _ []byte) { g[3] = 0xfe }, false},
			"not IP inside":             {1400, func(_, _, i []byte) { i[0] ^= 0x10 }, false},
			"the other family inside":   {1400, func(_, g, _ []byte) { g[3] ^= 3 }, false},
			"another source inside":     {1400, flip(inner, innerSrc), false},
			"another instance":          {1400, flip(inner, innerDst), false},
			"another port inside":       {1400, flip(inner, innerUDP), false},
			"another protocol inside":   {1400, func(_, _, i []byte) { i[[2]int{9, 6}[f.inner]] = unix.IPPROTO_TCP }, false},
			"to a stranger":             {1400, flip(outer, dst), true},
			"to another port":           {1400, flip(outer, udp+3), true},
			"of another protocol":       {1400, func(o, _, _ []byte) { o[[2]int{9, 6}[f.outer]] = unix.IPPROTO_TCP }, true},
			"of another version":        {1400, func(o, _, _ []byte) { o[0] ^= 0x20 }, true},
		} {
			believed, denied := w.says(name, w.tooBig(c.mtu, w.quote(128, c.change)))
			if believed || denied == c.silent || w.limit() != 0 {
				t.Errorf("%s: believed %v, refused %v, limit %d; want it refused, and counted as that: %v", name, believed, denied, w.limit(), !c.silent)
			}
		}
		// One that says nothing of the MTU, one that is for another host, and one that is cut off before the ports.
		kind := [2]byte{3, 2}[f.outer]
		for name, in := range map[string][]byte{
			"of another type": w.errorFor(f.outside(selfOuter), kind+1, [2]byte{4, 0}[f.outer], 1400, w.quote(128, nil)),
			"cut off":         w.tooBig(1400, w.sent[:[2]int{27, 47}[f.outer]]),
			"nothing":         w.tooBig(1400, nil),
		} {
			if believed, denied := w.says(name, in); believed || denied {
				t.Errorf("%s: believed %v, refused %v; want neither", name, believed, denied)
			}
		}
		toOther := w.errorFor(f.outside(outside), kind, [2]byte{4, 0}[f.outer], 1400, w.quote(128, nil))
		if believed, denied := w.says("for another host", toOther); believed || !denied {
			t.Errorf("for another host: believed %v, refused %v; want it refused", believed, denied)
		}
		if f.outer == V4 {
			w.refusesPieces()
		}
		// And it is not that nothing is believed here.
		if believed, _ := w.says("genuine", w.tooBig(1400, w.quote(128, nil))); !believed {
			t.Error("the genuine one is not believed")
		}
	})
}

// refusesPieces: the tunnel's packets are never in pieces, may not be taken apart, and have no options.
func (w *narrow) refusesPieces() {
	w.t.Helper()
	for name, change := range map[string]func(outer, gpe, inner []byte){
		"a later piece":         func(o, _, _ []byte) { o[7] = 1 },
		"may be taken apart":    func(o, _, _ []byte) { o[6] = 0 },
		"with options":          func(o, _, _ []byte) { o[0]++ },
		"host is unreachable":   nil,
		"the error is in parts": nil,
	} {
		in := w.tooBig(1400, w.quote(128, change))
		switch name {
		case "host is unreachable":
			in = w.errorFor(w.f.outside(selfOuter), 3, 1, 1400, w.quote(128, nil))
		case "the error is in parts":
			in[14+6] = 0x20
		}
		if believed, denied := w.says(name, in); believed || denied {
			w.t.Errorf("%s: believed %v, refused %v; want neither", name, believed, denied)
		}
	}
}

// TestShortQuotes: who quotes too little to prove anything may lower a way no further than what has to pass inside, and who proves it to
// what any link carries. IPv6 inside is told no less than what it has to have.
func TestShortQuotes(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		over := Overhead(f.outer == V4)
		w := newNarrow(t, f)
		for n := over - 8; n < over+[2]int{28, 48}[f.inner]; n++ {
			w.forget()
			if believed, denied := w.says("below", w.tooBig(1279+over, w.quote(n, nil))); believed || !denied {
				t.Fatalf("%d bytes quoted, 1279 inside: believed %v, refused %v; want it refused", n, believed, denied)
			}
			if believed, _ := w.says("down to", w.tooBig(1280+over, w.quote(n, nil))); !believed || w.limit() != 1280 {
				t.Fatalf("%d bytes quoted, 1280 inside: the limit is %d, want 1280", n, w.limit())
			}
			w.passes("as IPv6 has to", 1280, 0)
			w.passes("more", 1281, 1280)
		}
		w.forget()
		least := [2]int{576, 1280}[f.outer]
		if believed, _ := w.says("least", w.tooBig(least, w.quote(over+[2]int{28, 48}[f.inner], nil))); !believed || w.limit() != least-over {
			t.Fatalf("%d proved: the limit is %d, want %d", least, w.limit(), least-over)
		}
		if f.inner == V6 {
			w.passes("whatever was said", 1280, 0)
			w.passes("more", 1281, 1280)
			return
		}
		w.passes("what fits", least-over, 0)
		w.passes("more", least-over+1, least-over)
	})
}

// forget takes back what was said, and how often.
func (w *narrow) forget() {
	w.t.Helper()
	must(w.t, w.maps.Paths.Put(1, Path{}))
	must(w.t, w.maps.MissRate.Delete(0xb0000001)) // rate.h
}

// TestPiecesInside: of a datagram in pieces the later ones have no ports that could prove anything.
func TestPiecesInside(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		w := newNarrow(t, f)
		whole := packet{src: client, dst: vipRemote, proto: unix.IPPROTO_UDP, sport: 4000, dport: 53, id: 7, payload: strings.Repeat("x", 2600)}.of(f)
		for i, piece := range whole.pieces(1392) {
			w.sent = w.redirects("piece", w.progs.Container, frame(piece))[14:]
			mtu := 1400 - i
			if i == 0 && f.inner == V4 {
				mtu = 1300 // the first one proves that it is of a flow
			}
			believed, denied := w.says("piece", w.tooBig(mtu, w.quote(128, nil)))
			if want := i == 0 || len(w.sent) > mtu; believed != want || denied && want {
				t.Errorf("piece %d of %d bytes, MTU %d: believed %v, refused %v", i, len(w.sent), mtu, believed, denied)
			}
		}
	})
}

// TestEveryProtocolProves: TCP and echoes are flows as well.
func TestEveryProtocolProves(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		w := newNarrow(t, f)
		for _, p := range []packet{
			{src: client, dst: vipRemote, proto: unix.IPPROTO_TCP, sport: 5000, dport: 80, flags: flagSYN},
			{src: client, dst: vipRemote, proto: unix.IPPROTO_ICMP, sport: 77, icmp: 8},
		} {
			w.forget()
			p.payload = strings.Repeat("x", 1300)
			w.sent = w.redirects("open", w.progs.Container, p.of(f).frame())[14:]
			if believed, denied := w.says("forged", w.tooBig(1290, w.quote(128, func(_, g, _ []byte) { g[5] ^= 1 }))); believed || !denied {
				t.Errorf("protocol %d, another tag: believed %v, refused %v", p.proto, believed, denied)
			}
			if believed, _ := w.says("genuine", w.tooBig(1290, w.quote(128, nil))); !believed {
				t.Errorf("protocol %d: not believed", p.proto)
			}
		}
	})
}

// TestPeersBehindNAT: their packets leave from one port, which has to be quoted.
func TestPeersBehindNAT(t *testing.T) {
	w := newNarrow(t, pairing{})
	peer, _, err := w.maps.Peers.Lookup(1)
	must(t, err)
	peer.Sport = 40001
	must(t, w.maps.Peers.Put(1, peer))
	if believed, denied := w.says("hash", w.tooBig(1400, w.quote(128, nil))); believed || !denied {
		t.Errorf("from any port: believed %v, refused %v; want it refused", believed, denied)
	}
	w.sent = w.redirects("again", w.progs.Container, w.datagram(1440))[14:]
	if believed, _ := w.says("fixed", w.tooBig(1400, w.quote(128, nil))); !believed {
		t.Error("from its port: not believed")
	}
}

// TestClaimsAreBounded: so many a second are looked into, and no more.
func TestClaimsAreBounded(t *testing.T) {
	w := newNarrow(t, pairing{})
	const claims, perSecond = 400, 100
	start := time.Now()
	for n := range claims {
		w.run(w.progs.UplinkIn, w.tooBig(1400-n, w.quote(128, nil))) // each says less than the one before
	}
	most := perSecond + 1 + uint64(perSecond*time.Since(start).Seconds())
	if n := w.stat(lowered); n < perSecond || n > most || n+w.stat(refused) != claims {
		t.Errorf("%d of %d claims are believed and %d refused, want between %d and %d believed", n, claims, w.stat(refused), perSecond, most)
	}
}
