// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// balance returns how many packets the programs have received, and how many they have let go of: dropped by reason, or sent on. Packets that
// are in the open on the uplink are the host's, and not received; those of them that are dropped are let go of all the same.
func (k *kernel) balance() (received, left uint64) {
	k.t.Helper()
	for _, d := range k.drops() {
		left += d
	}
	names, err := StatNames()
	must(k.t, err)
	for which, name := range names {
		perCPU, _, err := k.maps.Stats.Lookup(which)
		must(k.t, err)
		for _, c := range perCPU {
			switch name {
			case "answered": // are among the dropped
			case "from_container", "from_tunnel", "from_outside", "reinjected":
				received += c.Packets
			default:
				left += c.Packets
			}
		}
	}
	return received, left
}

// drawPacket draws a packet of which most get far into the programs.
func drawPacket(r *rapid.T, f pairing) []byte {
	address := rapid.SampledFrom([]netip.Addr{
		client, clientInst, server, serverInst, farServer, farInst, farClient, gateway, selfOuter, peerOuter, outside,
		vipLocal, vipRemote, vipRefused, vipEmpty, vipUnmet, vipUnknown,
		netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("255.255.255.255"),
	})
	ports := rapid.SampledFrom([]uint16{0, 80, 4000, 4001, port, 65535})
	p := packet{
		src: client, dst: address.Draw(r, "dst"), sport: ports.Draw(r, "sport"), dport: ports.Draw(r, "dport"),
		proto:   rapid.SampledFrom([]uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMP, unix.IPPROTO_SCTP}).Draw(r, "proto"),
		flags:   rapid.SampledFrom([]uint8{flagSYN, flagSYN | flagACK, flagACK, flagFIN | flagACK, flagRST, 0, 0xff}).Draw(r, "flags"),
		icmp:    rapid.SampledFrom([]uint8{0, 8, 3, 5, 11, 13}).Draw(r, "icmp"),
		payload: rapid.StringN(0, 30, 40).Draw(r, "payload"),
	}
	if rapid.Bool().Draw(r, "any source") {
		p.src = address.Draw(r, "src")
	}
	if rapid.IntRange(0, 9).Draw(r, "options") == 0 {
		p.options = make([]byte, 4*rapid.IntRange(1, 10).Draw(r, "words of options"))
	}
	if rapid.IntRange(0, 9).Draw(r, "fragment") == 0 {
		p.fragment = rapid.SampledFrom([]uint16{0x2000, 0x2001, 0x0001, 0x4000}).Draw(r, "fragment bits")
	}
	return p.of(f).ip()
}

// spoil changes a byte, cuts the end off or does nothing.
func spoil(r *rapid.T, frame []byte) []byte {
	switch rapid.IntRange(0, 4).Draw(r, "spoil") {
	case 0:
		frame[rapid.IntRange(12, len(frame)-1).Draw(r, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
	case 1:
		frame = frame[:rapid.IntRange(14, len(frame)).Draw(r, "length")]
	}
	return frame
}

// TestEveryPacketIsCountedOnce runs any packets through the programs in any order: what they have received is what they have sent on
// and dropped, by its counters, neither less nor more.
func TestEveryPacketIsCountedOnce(t *testing.T) {
	eachPairing(t, testEveryPacketIsCountedOnce)
}

func testEveryPacketIsCountedOnce(t *testing.T, f pairing) {
	k := newKernelOf(t, f)
	tags := rapid.SampledFrom([]uint32{serverTag, farTag, 0, 5})
	received, left := k.balance()
	rapid.Check(t, func(r *rapid.T) {
		if rapid.Bool().Draw(r, "NetManager lives") {
			k.beat()
		}
		frame := frame(drawPacket(r, f))
		var prog *ebpf.Program
		switch rapid.IntRange(0, 3).Draw(r, "program") {
		case 0:
			prog = k.progs.Container
		case 1:
			prog = k.progs.UplinkIn
			from := rapid.SampledFrom([]netip.Addr{peerOuter, outside}).Draw(r, "from")
			frame = tunnelled(f.outside(from), tags.Draw(r, "tag"), frame[14:])
			next := len(frame) - len(f.stripped(frame)) - 5
			frame[next] = rapid.SampledFrom([]byte{frame[next], frame[next], frame[next], 0xfe, 0xfd}).Draw(r, "next protocol")
		case 2:
			prog = k.progs.UplinkIn // in the open
		case 3:
			prog = k.progs.Reinject
			frame = marked(frame, rapid.SampledFrom([]uint32{0, 1, 2, 0xffffffff}).Draw(r, "peer"), tags.Draw(r, "tag"))
		}
		frame = spoil(r, frame)
		out := make([]byte, len(frame)+256)
		verdict, err := prog.Run(&ebpf.RunOptions{Data: frame, DataOut: out})
		if err != nil {
			r.Skip() // the kernel makes no packet of this
		}
		gotReceived, gotLeft := k.balance()
		in, gone := gotReceived-received, gotLeft-left
		received, left = gotReceived, gotLeft
		open := prog == k.progs.UplinkIn && in == 0
		if open && verdict == verdictNext && gone == 0 || open && verdict == verdictDrop && gone == 1 || in == 1 && gone == 1 {
			return
		}
		r.Fatalf("verdict %#x: %d packets received, %d left, drops %v, for\n% x", verdict, in, gone, k.drops(), frame)
	})
}
