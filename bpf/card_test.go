// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf/probe"
)

// toldByCard is struct oak_card of include/card.h.
type toldByCard struct {
	Magic, Ifindex, Peer, Tag uint32
	TOS, Outer                uint8
	_                         uint16
}

// newCard makes a world whose card takes outer headers off.
func newCard(t *testing.T, f pairing) *kernel {
	t.Helper()
	has, err := probe.HaveRoom(probe.RoomDecapIPv4 | probe.RoomDecapIPv6)
	must(t, err)
	return newKernelOn(t, f, Kernel{DecapL3: has, CardDecap: true})
}

// card gives a frame to the card's program and returns its verdict and what the kernel would get, what is told of it in front.
func (k *kernel) card(frame []byte) (uint32, []byte) {
	k.t.Helper()
	opts := &ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)}
	verdict, err := k.progs.XDP.Run(opts)
	must(k.t, err)
	return verdict, opts.DataOut
}

// TestCardDecapsulates takes outer headers off, and tells what they said.
func TestCardDecapsulates(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newCard(t, f)
		inner := tcp(farClient, server, 4000, 80, flagSYN).of(f).ip()
		frame := tunnelled(f.outside(peerOuter), serverTag, inner)
		copy(frame, "\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d")
		setTOS(frame[14:], 0xb9) // the inner one is 0
		verdict, out := k.card(frame)
		var told toldByCard
		n, err := binary.Decode(out, binary.NativeEndian, &told)
		must(t, err)
		want := toldByCard{Magic: 0x6f616b01, Ifindex: loopback, Peer: 1, Tag: serverTag, TOS: 0xb9, Outer: uint8(f.outer)}
		if verdict != cardPass || told != want {
			t.Errorf("verdict %d, told %+v, want %+v", verdict, told, want)
		}
		bare := append(append(bytes.Clone(frame[:12]), f.etherType()...), inner...)
		if !bytes.Equal(out[n:], bare) {
			t.Errorf("what is left is\n% x\nwant\n% x", out[n:], bare)
		}
		if d := k.drops(); len(d) > 0 {
			t.Errorf("drops %v, want none", d)
		}
	})
}

// TestCardLeavesTheUnusual passes whatever is not as usual on as it came: the uplink's program deals with it, and counts it.
func TestCardLeavesTheUnusual(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newCard(t, f)
		head := 14 + Overhead(f.outer == V4)
		length := [2]int{14 + 2, 14 + 4}[f.outer] // of the outer packet
		of := func(inner []byte) []byte { return tunnelled(f.outside(peerOuter), serverTag, inner) }
		large := func(size int) []byte {
			return of(packet{src: farClient, dst: server, proto: unix.IPPROTO_UDP, sport: 1, dport: 2, payload: string(make([]byte, size))}.of(f).ip())
		}
		good := func() []byte { return of(tcp(farClient, server, 1, 2, flagSYN).of(f).ip()) }
		changed := func(at int, to byte) []byte {
			b := good()
			b[at] = to
			return b
		}
		frames := map[string][]byte{
			"longer than it says":          append(good(), 0),
			"shorter than it says":         good()[:len(good())-1],
			"a length of 0":                bytes.Join([][]byte{good()[:length], {0, 0}, good()[length+2:]}, nil),
			"less than an inner IP header": of([2][]byte{{18: 0, 0: 0x45}, {38: 0, 0: 0x60}}[f.inner]),
			"nothing inside":               of(nil),
			"an echo":                      changed(head-5, 0xfd),
			"a hello":                      changed(head-5, 0xfe),
			"something else inside":        changed(head-5, 7),
			"in several buffers":           large(6000),
		}
		if f.outer == V4 {
			frames["options"] = changed(14, 0x46)
			frames["a first piece"] = changed(14+6, 0x20)
			frames["a later piece"] = changed(14+7, 1)
		}
		for name, frame := range frames {
			if verdict, out := k.card(frame); verdict != cardPass || !bytes.Equal(out, frame) {
				t.Errorf("%s: verdict %d, %d bytes, want %d and the %d bytes as they came", name, verdict, len(out), cardPass, len(frame))
			}
		}
		peer, _, err := k.maps.Peers.Lookup(1)
		must(t, err)
		overIP := [2]int{28, 48}[f.inner]
		peer.Mtu = 1000
		must(t, k.maps.Peers.Put(1, peer))
		for size, as := range map[int]bool{1000: false, 1001: true} {
			frame := large(size - overIP)
			if _, out := k.card(frame); bytes.Equal(out, frame) != as {
				t.Errorf("%d bytes where the way carries 1000: left as it is: %v, want %v", size, !as, as)
			}
		}
		peer.Port = 0
		must(t, k.maps.Peers.Put(1, peer))
		if verdict, out := k.card(good()); verdict != cardPass || !bytes.Equal(out, good()) {
			t.Errorf("of a peer that is not located: verdict %d", verdict)
		}
		if d := k.drops(); len(d) > 0 {
			t.Errorf("drops %v, want none: the uplink's program counts them", d)
		}
	})
}

// TestCardTellsWhatItDrops traces a stranger's packet that no program of tc gets to see.
func TestCardTellsWhatItDrops(t *testing.T) {
	for _, f := range []pairing{{V4, V4}, {V4, V6}} {
		k := newKernelOf(t, f)
		r, err := k.maps.ReadTraces()
		must(t, err)
		tr := &tracer{k, r}
		stranger := tunnelled(f.outside(outside), serverTag, nil)
		tr.follow(Trace{Proto: unix.IPPROTO_TCP})
		k.card(stranger)
		tr.expect("filtered")
		tr.follow(Trace{})
		k.card(stranger)
		reasons, err := DropReasons()
		must(t, err)
		events := tr.told()
		if len(events) != 1 {
			t.Fatalf("%s: %d events, want one", f, len(events))
		}
		if e := events[0]; e.Step != StepDrop || reasons[e.A] != "unknown_peer" || e.Src != AddrFrom(f.outside(outside)) ||
			e.Dst != AddrFrom(f.outside(selfOuter)) || e.Len != uint32(len(stranger)) || e.Ifindex != loopback || int(e.Family) != f.outer {
			t.Errorf("%s: told %+v", f, e)
		}
		must(t, r.Close())
	}
}
