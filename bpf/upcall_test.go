// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// marked gives a frame the Ethernet header by which programs and NetManager tell each other where it came from.
func marked(frame []byte, peer, tag uint32) []byte {
	copy(frame, []byte{2, 0x6f, 0, 0, 0, 0, 2, 0x6f, 0x61, byte(tag >> 16), byte(tag >> 8), byte(tag)})
	binary.BigEndian.PutUint32(frame[2:], peer)
	return frame
}

func TestReinject(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		stranger := netip.MustParseAddr("10.30.9.9")
		for _, c := range []struct {
			name, reason string
			frame        []byte
			want         packet
		}{
			{"a container's packet, now known", "", marked(tcp(client, vipLocal, 1, 2, flagSYN).of(f).frame(), 0, 0), tcp(clientInst, server, 1, 2, flagSYN)},
			{"a container's packet, still unknown", "unresolved", marked(tcp(client, vipUnknown, 1, 2, flagSYN).of(f).frame(), 0, 0), packet{}},
			{"of a container that is gone", "no_endpoint", marked(tcp(farServer, vipLocal, 1, 2, flagSYN).of(f).frame(), 0, 0), packet{}},
			{"a peer's packet, its source now known", "", marked(tcp(farClient, server, 1, 2, flagSYN).of(f).frame(), 1, serverTag), tcp(farClient, server, 1, 2, flagSYN)},
			{"a peer's packet, its source still unknown", "bad_source", marked(tcp(stranger, server, 1, 2, flagSYN).of(f).frame(), 1, serverTag), packet{}},
			{"a peer's packet with a wrong tag", "bad_tag", marked(tcp(farClient, server, 1, 2, flagSYN).of(f).frame(), 1, 5), packet{}},
			{"for delivery as it is", "", marked(packet{src: gateway, dst: client, proto: unix.IPPROTO_ICMP, icmp: 3}.of(f).frame(), 0xffffffff, 0),
				packet{src: gateway, dst: client, proto: unix.IPPROTO_ICMP, icmp: 3}},
			{"for delivery to nobody", "no_endpoint", marked(tcp(gateway, outside, 1, 2, flagRST).of(f).frame(), 0xffffffff, 0), packet{}},
		} {
			t.Run(c.name, func(t *testing.T) {
				k := newKernelOf(t, f)
				verdict, out := k.run(k.progs.Reinject, c.frame)
				if c.reason != "" {
					want := uint32(verdictDrop)
					if c.reason == "unresolved" {
						want = verdictRedirect // of the answer
					}
					if got := k.drops(); verdict != want || got[c.reason] != 1 {
						t.Errorf("verdict %#x, drops %v; want %#x and %s", verdict, got, want, c.reason)
					}
					return
				}
				if verdict != verdictRedirect {
					t.Fatalf("verdict %#x, drops %v", verdict, k.drops())
				}
				f.same(t, out, c.want)
			})
		}
	})
}

// TestHeldPacketsKeepTheirOrder follows one address from unknown to known: no packet passes those that are held.
func TestHeldPacketsKeepTheirOrder(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		k.beat()
		p := packet{src: client, dst: vipUnknown, proto: unix.IPPROTO_UDP, sport: 5, dport: 6}
		upcalled := func() bool {
			k.t.Helper()
			verdict, out := k.run(k.progs.Container, p.of(f).frame())
			if verdict != verdictRedirect {
				t.Fatalf("verdict %#x, drops %v", verdict, k.drops())
			}
			return out[1] == 0x6f
		}
		for range 2 {
			if !upcalled() {
				t.Fatal("an unknown destination was not handed up")
			}
		}
		k.service(6, vipUnknown, 1)
		if !upcalled() {
			t.Error("a packet overtook those that are held")
		}
		for range 2 {
			k.run(k.progs.Reinject, marked(p.of(f).frame(), 0, 0))
		}
		if !upcalled() {
			t.Error("a packet overtook the last held one, although its flow is known by now")
		}
		for range 2 {
			k.run(k.progs.Reinject, marked(p.of(f).frame(), 0, 0))
		}
		// The settling time passes.
		pending, _, err := k.maps.Pending.Lookup(AddrFrom(f.inside(vipUnknown)))
		must(t, err)
		pending.LastDown -= 3e6
		must(t, k.maps.Pending.Put(AddrFrom(f.inside(vipUnknown)), pending))
		if upcalled() {
			t.Error("a packet was handed up although all held ones have come back")
		}
		if _, ok, _ := k.maps.Pending.Lookup(AddrFrom(f.inside(vipUnknown))); ok {
			t.Error("the address is still marked as held")
		}
	})
}

// TestHeldPacketsAcrossProcessors holds an address whose last packet went up at a time that is, by the clock as this processor has
// read it, yet to come.
func TestHeldPacketsAcrossProcessors(t *testing.T) {
	eachFamily(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		k.beat()
		var ts unix.Timespec
		must(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts))
		later := uint64(ts.Nano()) + uint64(time.Hour)
		for name, pending := range map[string]Pending{
			"sent up": {LastUp: later, Up: 2, Down: 1}, "come back": {LastUp: later, LastDown: later, Up: 2, Down: 2},
		} {
			must(t, k.maps.Pending.Put(AddrFrom(f.inside(vipLocal)), pending))
			_, out := k.run(k.progs.Container, packet{src: client, dst: vipLocal, proto: unix.IPPROTO_UDP, sport: 5, dport: 6}.of(f).frame())
			if out[1] != 0x6f {
				t.Errorf("last held packet %s just now: another one passed by NetManager", name)
			}
		}
	})
}

// TestMissesOfPeersAreCountedApart lets one peer use up its misses: those of another are handed up all the same.
func TestMissesOfPeersAreCountedApart(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		k.beat()
		must(t, k.maps.PeerAddrs.Put(PeerAddr{Addr: AddrFrom(f.outside(outside))}, 3))
		miss := func(from netip.Addr, i int) uint32 {
			src := netip.AddrFrom4([4]byte{10, 30, 200, byte(i)})
			verdict, _ := k.run(k.progs.UplinkIn, tunnelled(f.outside(from), serverTag, tcp(src, server, 1, 2, flagSYN).of(f).ip()))
			return verdict
		}
		for i := range 150 {
			miss(peerOuter, i)
		}
		if k.drops()["upcall_rate"] == 0 {
			t.Fatal("a peer may ask for any number of sources")
		}
		if verdict := miss(outside, 200); verdict != verdictRedirect {
			t.Errorf("verdict %#x for the first miss of another peer, drops %v", verdict, k.drops())
		}
	})
}

func TestGuardAndSink(t *testing.T) {
	k := newKernel(t)
	p := tcp(outside, selfOuter, 1, 2, flagSYN).frame()
	if verdict, _ := k.run(k.progs.Guard, p); verdict != verdictDrop || k.drops()["tunnel_device"] != 1 {
		t.Errorf("guard: verdict %#x, drops %v", verdict, k.drops())
	}
	if verdict, _ := k.run(k.progs.Sink, p); verdict != verdictDrop {
		t.Errorf("sink: verdict %#x, want a drop", verdict)
	}
}
