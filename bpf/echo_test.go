// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
)

var (
	peerOuter6 = netip.MustParseAddr("2001:db8::2")
	selfOuter6 = netip.MustParseAddr("2001:db8::1")
)

const echoNonce = 0x1122334455667788

// echo is the body of an echo packet behind the outer UDP header.
func echo(request bool, nonce uint64) []byte {
	b := append([]byte{0x0c, 0, 0, 0xfd, 0, 0, 0, 0}, "oake"...)
	if request {
		b = append(b, 0, 1, 0, 0)
	} else {
		b = append(b, 0, 0, 0, 1)
	}
	return binary.NativeEndian.AppendUint64(b, nonce)
}

// outerFrame wraps a body in Ethernet, IP of either family and UDP, with its checksum.
func outerFrame(from, to netip.AddrPort, body []byte) []byte {
	if from.Addr().Is4() {
		return packet{src: from.Addr(), dst: to.Addr(), proto: unix.IPPROTO_UDP, sport: from.Port(), dport: to.Port(), payload: string(body)}.frame()
	}
	udp := make([]byte, 8, 8+len(body))
	binary.BigEndian.PutUint16(udp[0:], from.Port())
	binary.BigEndian.PutUint16(udp[2:], to.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(body)))
	udp = append(udp, body...)
	ip := make([]byte, 40)
	ip[0], ip[6], ip[7] = 0x60, unix.IPPROTO_UDP, 60
	binary.BigEndian.PutUint16(ip[4:], uint16(len(udp)))
	copy(ip[8:], from.Addr().AsSlice())
	copy(ip[24:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(udp[6:], fold(sum(udp, sum(ip[8:40], uint32(unix.IPPROTO_UDP)+uint32(len(udp))))))
	out := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd}, ip...)
	return append(out, udp...)
}

// echoEnds are the peer and this worker, by outer family.
var echoEnds = map[string][2]netip.Addr{"IPv4": {peerOuter, selfOuter}, "IPv6": {peerOuter6, selfOuter6}}

func (k *kernel) health(index uint32) PeerHealth {
	k.t.Helper()
	h, _, err := k.maps.PeerHealth.Lookup(index)
	must(k.t, err)
	return h
}

func nanoseconds(t testing.TB) uint64 {
	t.Helper()
	var ts unix.Timespec
	must(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts))
	return uint64(ts.Nano())
}

func TestEchoesAreAnswered(t *testing.T) {
	for name, ends := range echoEnds {
		t.Run(name, func(t *testing.T) {
			k := newKernel(t)
			must(t, k.maps.PeerAddrs.Put(PeerAddr{Addr: AddrFrom(peerOuter6)}, 1))
			from, to := netip.AddrPortFrom(ends[0], 40000), netip.AddrPortFrom(ends[1], port)
			asked := outerFrame(from, to, echo(true, echoNonce))
			verdict, out := k.run(k.progs.UplinkIn, asked)
			if verdict != verdictRedirect {
				t.Fatalf("verdict %#x, drops %v; want that it goes back", verdict, k.drops())
			}
			want := outerFrame(to, from, echo(false, echoNonce)) // the test's checksums are those of a packet made anew
			copy(want[0:6], asked[6:12])
			copy(want[6:12], asked[0:6])
			if ends[0].Is6() {
				want[14+7] = 64
			}
			if string(out) != string(want) {
				t.Errorf("answer\n% x\nwant\n% x", out, want)
			}
			if h := k.health(1); h.Heard == 0 || h.Sampled != 0 {
				t.Errorf("health %+v: want that the peer was heard, and no round trip", h)
			}
		})
	}
}

func TestEchoAnswersAreRoundTrips(t *testing.T) {
	const took = 20 * time.Millisecond
	for name, ends := range echoEnds {
		t.Run(name, func(t *testing.T) {
			k := newKernel(t)
			must(t, k.maps.PeerAddrs.Put(PeerAddr{Addr: AddrFrom(peerOuter6)}, 1))
			answer := outerFrame(netip.AddrPortFrom(ends[0], port), netip.AddrPortFrom(ends[1], port), echo(false, echoNonce))
			sent := nanoseconds(t) - uint64(took)
			must(t, k.maps.PeerHealth.Put(1, PeerHealth{Asked: sent - 1e9, Sent: sent, Nonce: echoNonce}))
			if verdict, _ := k.run(k.progs.UplinkIn, answer); verdict != verdictDrop || len(k.drops()) != 0 {
				t.Fatalf("verdict %#x, drops %v; want that it ends here, and is no loss", verdict, k.drops())
			}
			h := k.health(1)
			if rtt := time.Duration(h.RttUs) * time.Microsecond; rtt < took || rtt > 5*took {
				t.Errorf("round trip %s, want a little over %s", rtt, took)
			}
			if h.Asked != 0 || h.Nonce != 0 || h.Heard == 0 || h.Sampled == 0 {
				t.Errorf("health %+v: want that nothing is asked any more", h)
			}
			// The same again proves nothing.
			if k.run(k.progs.UplinkIn, answer); k.drops()["echo"] != 1 {
				t.Errorf("drops %v, want one echo", k.drops())
			}
			if again := k.health(1); again != h {
				t.Errorf("health %+v after a repeated answer, want %+v", again, h)
			}
		})
	}
}

func TestEchoesThatDoNotCount(t *testing.T) {
	here := netip.AddrPortFrom(selfOuter, port)
	peer := netip.AddrPortFrom(peerOuter, port)
	broken := func(at int, b byte) []byte {
		body := echo(true, echoNonce)
		body[at] = b
		return outerFrame(peer, here, body)
	}
	for _, c := range []struct {
		name, reason string
		frame        []byte
	}{
		{"of a stranger", "unknown_peer", outerFrame(netip.AddrPortFrom(outside, port), here, echo(true, echoNonce))},
		{"answer of a stranger", "unknown_peer", outerFrame(netip.AddrPortFrom(outside, port), here, echo(false, echoNonce))},
		{"another number", "echo", outerFrame(peer, here, echo(false, echoNonce+1))},
		{"number 0", "echo", outerFrame(peer, here, echo(false, 0))},
		{"neither", "malformed", broken(13, 0)},
		{"both", "malformed", broken(15, 1)},
		{"magic", "malformed", broken(8, 'x')},
		{"short", "malformed", outerFrame(peer, here, echo(true, echoNonce)[:20])},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKernel(t)
			before := PeerHealth{Asked: 1, Sent: nanoseconds(t), Nonce: echoNonce}
			must(t, k.maps.PeerHealth.Put(1, before))
			verdict, _ := k.run(k.progs.UplinkIn, c.frame)
			if got := k.drops(); verdict != verdictDrop || got[c.reason] != 1 || len(got) != 1 {
				t.Errorf("verdict %#x, drops %v; want a drop for %s alone", verdict, got, c.reason)
			}
			if got := k.health(1); got != before {
				t.Errorf("health %+v, want %+v", got, before)
			}
		})
	}

	t.Run("an answer after a minute", func(t *testing.T) {
		k := newKernel(t)
		must(t, k.maps.PeerHealth.Put(1, PeerHealth{Asked: 1, Sent: nanoseconds(t) - uint64(61*time.Second), Nonce: echoNonce}))
		if k.run(k.progs.UplinkIn, outerFrame(peer, here, echo(false, echoNonce))); k.drops()["echo"] != 1 || k.health(1).Sampled != 0 {
			t.Errorf("drops %v, health %+v; want that it is too late", k.drops(), k.health(1))
		}
	})
}

// TestEchoFlood: a peer cannot have this worker send without end.
func TestEchoFlood(t *testing.T) {
	const limit, asked = 50, 300
	k := newKernel(t)
	frame := outerFrame(netip.AddrPortFrom(peerOuter, port), netip.AddrPortFrom(selfOuter, port), echo(true, echoNonce))
	start, answered := time.Now(), 0
	for range asked {
		if verdict, _ := k.run(k.progs.UplinkIn, frame); verdict == verdictRedirect {
			answered++
		}
	}
	if most := limit + 1 + int(time.Since(start).Seconds()*limit); answered < limit || answered > most {
		t.Errorf("%d of %d were answered, want between %d and %d", answered, asked, limit, most)
	}
	if got := k.drops()["echo"]; got != uint64(asked-answered) {
		t.Errorf("%d are counted as dropped, want %d", got, asked-answered)
	}
}

// TestRareSamplesCountMore: with one echo every few seconds a way that has changed would be judged by its past for a minute.
func TestRareSamplesCountMore(t *testing.T) {
	const took = 80_000 // µs, after round trips of no time at all
	for name, c := range map[string]struct {
		age         time.Duration
		least, most uint32
	}{"at once": {0, took / 8, took / 4}, "after a while": {5 * time.Second, took / 2, took}} {
		t.Run(name, func(t *testing.T) {
			k := newKernel(t)
			now := nanoseconds(t)
			must(t, k.maps.PeerHealth.Put(1, PeerHealth{Sampled: now - uint64(c.age), Sent: now - took*1000, Nonce: echoNonce, Asked: now}))
			k.run(k.progs.UplinkIn, outerFrame(netip.AddrPortFrom(peerOuter, port), netip.AddrPortFrom(selfOuter, port), echo(false, echoNonce)))
			if got := k.health(1).RttUs; got < c.least || got > c.most {
				t.Errorf("smoothed round trip %d µs, want within %d and %d", got, c.least, c.most)
			}
		})
	}
}

// TestASilentPeerIsPassedOver: new flows do not go where echoes have been without an answer for 10 s; those that there are go on.
func TestASilentPeerIsPassedOver(t *testing.T) {
	for name, c := range map[string]struct {
		asked, sent, heard uint64 // seconds ago; 0: never
		usable             bool
	}{
		"never asked":                     {0, 0, 0, true},
		"asked just now":                  {1, 1, 0, true},
		"no answer for 9 s":               {9, 1, 0, true},
		"no answer for 11 s":              {11, 1, 0, false},
		"heard, but does not hear us":     {11, 2, 1, false},
		"nobody asks, nothing was heard":  {60, 50, 55, false},
		"nobody asks, and it is back":     {60, 50, 2, true},
		"nobody asks, and it spoke early": {60, 50, 51, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKernel(t)
			flow := tcp(client, vipRemote, 4000, 80, flagSYN)
			if verdict, _ := k.run(k.progs.Container, flow.frame()); verdict != verdictRedirect {
				t.Fatalf("before: verdict %#x, drops %v", verdict, k.drops())
			}
			now := nanoseconds(t)
			ago := func(seconds uint64) uint64 {
				if seconds == 0 {
					return 0
				}
				return now - seconds*uint64(time.Second)
			}
			health := PeerHealth{Asked: ago(c.asked), Sent: ago(c.sent), Heard: ago(c.heard)}
			if health.Silent(time.Duration(now)) == c.usable {
				t.Errorf("Go says that it is silent: %v", !c.usable)
			}
			must(t, k.maps.PeerHealth.Put(1, health))
			verdict, _ := k.run(k.progs.Container, tcp(client, vipRemote, 4001, 80, flagSYN).frame())
			if reached := verdict == verdictRedirect && k.drops()["no_backend"] == 0; reached != c.usable {
				t.Errorf("a new flow: verdict %#x, drops %v; want it to reach the peer: %v", verdict, k.drops(), c.usable)
			}
			before := k.drops()["no_backend"]
			flow.flags = flagACK
			if verdict, _ := k.run(k.progs.Container, flow.frame()); verdict != verdictRedirect || k.drops()["no_backend"] != before {
				t.Errorf("the old flow: verdict %#x, drops %v; want that it goes on", verdict, k.drops())
			}
		})
	}
}

// TestNoticesOfStaleRoutes: what is dropped since nobody is there is told, so many times a second.
func TestNoticesOfStaleRoutes(t *testing.T) {
	for name, c := range map[string]struct {
		frame []byte
		dst   netip.Addr
		tag   uint32
	}{
		"not here":    {tunnelled(peerOuter, serverTag, tcp(farClient, farServer, 1, 2, flagSYN).ip()), farServer, serverTag},
		"another tag": {tunnelled(peerOuter, serverTag^1, tcp(farClient, server, 1, 2, flagSYN).ip()), server, serverTag ^ 1},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKernel(t)
			reader, err := ringbuf.NewReader(k.maps.Events)
			must(t, err)
			defer reader.Close()
			start := time.Now()
			for range 100 {
				k.run(k.progs.UplinkIn, c.frame)
			}
			// What is dropped for another reason is not told.
			k.run(k.progs.UplinkIn, tunnelled(peerOuter, serverTag, tcp(outside, server, 1, 2, flagSYN).ip()))
			told := 0
			reader.SetDeadline(time.Now())
			for {
				record, err := reader.Read()
				if err != nil {
					break
				}
				told++
				r := record.RawSample
				if kind, peer, tag := binary.NativeEndian.Uint32(r), binary.NativeEndian.Uint32(r[4:]), binary.NativeEndian.Uint32(r[8:]); kind != EventStale || peer != 1 || tag != c.tag {
					t.Fatalf("kind %d, peer %d, tag %#x; want %d, 1, %#x", kind, peer, tag, EventStale, c.tag)
				}
				if dst := netip.AddrFrom16([16]byte(r[12:28])).Unmap(); dst != c.dst {
					t.Fatalf("destination %s, want %s", dst, c.dst)
				}
			}
			if most := 21 + int(20*time.Since(start).Seconds()); told < 20 || told > most {
				t.Errorf("%d notices of 100 packets, want between 20 and %d", told, most)
			}
		})
	}
}
