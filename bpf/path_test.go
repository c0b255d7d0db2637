// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
	w := newNarrowFor(t, pairing{}, 50*time.Millisecond)
	if believed, _ := w.says("1400", w.tooBig(1400, w.quote(128, nil))); !believed {
		t.Fatal("not believed")
	}
	time.Sleep(60 * time.Millisecond)
	w.passes("forgotten", 1440, 0)
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
