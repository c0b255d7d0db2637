// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// packet is an IP packet as the tests speak of it, of the family of its addresses. Protocol and type of ICMP are said as IPv4 says them.
type packet struct {
	src, dst     netip.Addr
	proto        uint8
	sport, dport uint16
	flags        uint8  // TCP
	icmp         uint8  // type
	code         uint8  // of ICMP
	options      []byte // of IPv4; IPv6 has as much padding in a header of options
	payload      string
	noChecksum   bool   // UDP
	fragment     uint16 // as IPv4 has it
	id           uint16
	tos          uint8
}

const (
	flagFIN = 1
	flagSYN = 2
	flagRST = 4
	flagACK = 16
)

func sum(b []byte, start uint32) uint32 {
	for i := 0; i+1 < len(b); i += 2 {
		start += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		start += uint32(b[len(b)-1]) << 8
	}
	return start
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// l4Checksum is where the transport's checksum lies within its header.
var l4Checksum = map[uint8]int{unix.IPPROTO_TCP: 16, unix.IPPROTO_UDP: 6, unix.IPPROTO_ICMP: 2}

func (p packet) transport() []byte {
	switch p.proto {
	case unix.IPPROTO_TCP:
		h := make([]byte, 20)
		h[12], h[13] = 5<<4, p.flags
		binary.BigEndian.PutUint16(h[0:], p.sport)
		binary.BigEndian.PutUint16(h[2:], p.dport)
		return append(h, p.payload...)
	case unix.IPPROTO_UDP:
		h := make([]byte, 8)
		binary.BigEndian.PutUint16(h[0:], p.sport)
		binary.BigEndian.PutUint16(h[2:], p.dport)
		binary.BigEndian.PutUint16(h[4:], uint16(8+len(p.payload)))
		return append(h, p.payload...)
	default:
		h := make([]byte, 8)
		h[0], h[1] = p.icmp, p.code
		if p.src.Is6() && p.proto == unix.IPPROTO_ICMP {
			h[0] = icmpTypes[p.icmp]
		}
		binary.BigEndian.PutUint16(h[4:], p.sport)
		return append(h, p.payload...)
	}
}

// segment returns the transport's header and payload, its checksum right.
func (p packet) segment() []byte {
	l4 := p.transport()
	if at, ok := l4Checksum[p.proto]; ok && !p.noChecksum {
		binary.BigEndian.PutUint16(l4[at:], fold(sum(l4, p.pseudo(len(l4)))))
	}
	return l4
}

// pseudo is the sum of the pseudo header, which ICMP has none of.
func (p packet) pseudo(length int) uint32 {
	if p.src.Is6() {
		return sum(p.dst.AsSlice(), sum(p.src.AsSlice(), uint32(proto6(p.proto))+uint32(length)))
	}
	if p.proto == unix.IPPROTO_ICMP {
		return 0
	}
	return sum(p.dst.AsSlice(), sum(p.src.AsSlice(), uint32(p.proto)+uint32(length)))
}

// ip returns the packet's bytes, checksums right.
func (p packet) ip() []byte { return p.around(p.segment()) }

// around puts the IP header in front of what it carries.
func (p packet) around(l4 []byte) []byte {
	if p.src.Is6() {
		return p.around6(l4)
	}
	h := make([]byte, 20, 128)
	h[0], h[1], h[8], h[9] = byte(0x40|(5+len(p.options)/4)), p.tos, 64, p.proto
	h = append(h, p.options...)
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(l4)))
	binary.BigEndian.PutUint16(h[4:], p.id)
	binary.BigEndian.PutUint16(h[6:], p.fragment)
	copy(h[12:], p.src.AsSlice())
	copy(h[16:], p.dst.AsSlice())
	binary.BigEndian.PutUint16(h[10:], fold(sum(h, 0)))
	return append(h, l4...)
}

func (p packet) around6(l4 []byte) []byte {
	next := proto6(p.proto)
	var ext []byte
	if p.fragment&^0x4000 != 0 {
		h := []byte{next, 0, 0, 0, 0, 0, byte(p.id >> 8), byte(p.id)}
		binary.BigEndian.PutUint16(h[2:], p.fragment<<3|p.fragment>>13&1)
		ext, next = h, unix.IPPROTO_FRAGMENT
	}
	if len(p.options) > 0 {
		h := make([]byte, (len(p.options)+2+7)/8*8)
		h[0], h[1] = next, byte(len(h)/8-1)
		h[2], h[3] = 1, byte(len(h)-4) // PadN
		ext, next = append(h, ext...), unix.IPPROTO_HOPOPTS
	}
	h := make([]byte, 40, 160)
	h[0], h[1], h[6], h[7] = 0x60|p.tos>>4, p.tos<<4, next, 64
	binary.BigEndian.PutUint16(h[4:], uint16(len(ext)+len(l4)))
	copy(h[8:], p.src.AsSlice())
	copy(h[24:], p.dst.AsSlice())
	return append(append(h, ext...), l4...)
}

// pieces cuts the datagram into pieces with so many bytes each, a multiple of 8.
func (p packet) pieces(size int) (out [][]byte) {
	l4 := p.segment()
	for at := 0; at < len(l4); at += size {
		q := p
		q.fragment = uint16(at / 8)
		end := min(at+size, len(l4))
		if end < len(l4) {
			q.fragment |= 0x2000
		}
		out = append(out, q.around(l4[at:end]))
	}
	return out
}

// frame puts an Ethernet header in front.
func frame(ip []byte) []byte {
	eth := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}
	if len(ip) > 0 && ip[0]>>4 == 6 {
		eth[12], eth[13] = 0x86, 0xdd
	}
	return append(eth, ip...)
}

func (p packet) frame() []byte { return frame(p.ip()) }

// tunnelled wraps a packet as the peer at an address of either family would.
func tunnelled(from netip.Addr, tag uint32, inner []byte) []byte {
	next := byte(1)
	if len(inner) > 0 && inner[0]>>4 == 6 {
		next = 2
	}
	body := append([]byte{0x0c, 0, 0, next, byte(tag >> 16), byte(tag >> 8), byte(tag), 0}, inner...)
	to := selfOuter
	if from.Is6() {
		to = to6(selfOuter)
	}
	return packet{src: from, dst: to, proto: unix.IPPROTO_UDP, sport: 50000, dport: port, payload: string(body), noChecksum: true}.frame()
}

// same holds a frame's IP part against what is wanted, byte by byte, and its Ethernet header against the family.
func same(t testing.TB, got []byte, want packet) {
	t.Helper()
	w := want.frame()
	if len(got) < 14 {
		t.Fatalf("a frame of %d bytes came out", len(got))
	}
	if string(got[14:]) != string(w[14:]) {
		t.Errorf("packet came out as\n% x\nwant\n% x", got[14:], w[14:])
	}
	if string(got[12:14]) != string(w[12:14]) {
		t.Errorf("Ethernet says %x, want %x", got[12:14], w[12:14])
	}
}
