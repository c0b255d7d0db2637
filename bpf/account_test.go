// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// left counts the packets that programs have let go of: dropped by reason, or sent on.
func (k *kernel) left() (n uint64) {
	k.t.Helper()
	for _, d := range k.drops() {
		n += d
	}
	for _, which := range []uint32{
		uint32(mapsOakStatOAK_STAT_TO_LOCAL), uint32(mapsOakStatOAK_STAT_TO_TUNNEL), uint32(mapsOakStatOAK_STAT_UPCALL),
		uint32(mapsOakStatOAK_STAT_HELLO), uint32(mapsOakStatOAK_STAT_TO_STACK),
	} {
		perCPU, _, err := k.maps.Stats.Lookup(which)
		must(k.t, err)
		for _, c := range perCPU {
			n += c.Packets
		}
	}
	return n
}

// drawPacket draws a packet of which most get far into the programs.
func drawPacket(r *rapid.T) []byte {
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
	return p.ip()
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
	k := newKernel(t)
	tags := rapid.SampledFrom([]uint32{serverTag, farTag, 0, 5})
	received := k.left()
	rapid.Check(t, func(r *rapid.T) {
		if rapid.Bool().Draw(r, "NetManager lives") {
			k.beat()
		}
		frame, ours := frame(drawPacket(r)), true
		var prog *ebpf.Program
		switch rapid.IntRange(0, 3).Draw(r, "program") {
		case 0:
			prog = k.progs.Container
		case 1:
			prog = k.progs.UplinkIn
			from := rapid.SampledFrom([]netip.Addr{peerOuter, outside}).Draw(r, "from")
			frame = tunnelled(from, tags.Draw(r, "tag"), frame[14:])
			if rapid.IntRange(0, 9).Draw(r, "hello") == 0 {
				frame[45] = 0xfe
			}
		case 2:
			prog = k.progs.UplinkIn // in the open
		case 3:
			prog = k.progs.Reinject
			frame = marked(frame, rapid.SampledFrom([]uint32{0, 1, 2, 0xffffffff}).Draw(r, "peer"), tags.Draw(r, "tag"))
		}
		frame = spoil(r, frame)
		if binary.BigEndian.Uint16(frame[12:]) == unix.ETH_P_ALL || len(frame) < 14 {
			r.Skip()
		}
		out := make([]byte, len(frame)+256)
		verdict, err := prog.Run(&ebpf.RunOptions{Data: frame, DataOut: out})
		if err != nil {
			r.Skip() // the kernel makes no packet of this
		}
		if verdict == verdictNext && prog == k.progs.UplinkIn {
			ours = false // the stack's, as if there were no overlay
		}
		if ours {
			received++
		}
		if left := k.left(); left != received {
			r.Fatalf("verdict %#x: %d packets received, %d counted, drops %v, for\n% x", verdict, received, left, k.drops(), frame)
		}
	})
}
