// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf/model"
)

// A script is what the fuzzer mutates: steps of so many bytes, each a packet or a change of the tables. So a mutation changes a field of
// a packet far more often than it destroys one, and the steps after it still mean something.
const stepLen = 16

// What a step does, by its first byte.
const (
	opClient = iota // out of the client
	opServer
	opTunnel    // from a peer
	opTunnelBy6 // from a peer that is reached over IPv6
	opOpen      // on the uplink, without a tunnel
	opAnswer    // who got the last packet answers it
	opComplain  // or complains of it
	opAgain     // the last packet once more
	opBack      // NetManager gives back what it was asked last
	opReinject
	opHost   // out of the worker itself
	opCaller // from outside, to a port of the worker
	opRouter // a router says that the last packet to a peer is too long
	opChange // of the tables
	ops
)

// field numbers of a step.
const (
	fOp = iota
	fKind
	fSrc
	fDst
	fProto
	fFlags
	fSport
	fDport
	fPeer
	fTag
	fTOS
	fOuterTOS
	fHow // what is spoilt
	fAt
	fWith
	fLen
)

var (
	protos = []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMP, unix.IPPROTO_SCTP}
	ports  = []uint16{80, 4000, 0x0800, 53, ourPort, 0, 65535, 4444, 8080}
	flags  = []uint8{2, 18, 16, 17, 4, 24, 20, 0}
	types4 = []uint8{8, 0, 3, 11, 12, 13, 5}
	types6 = []uint8{128, 129, 1, 3, 2, 135, 4}
)

func pick[T any](from []T, by byte) T { return from[int(by)%len(from)] }

// addresses of the world, by family.
func addressBook(fam int) []netip.Addr {
	var all []netip.Addr
	for _, p := range [][2]netip.Addr{
		pair(nsOf, 2), pair(nsOf, 3), pair(instOf, 2), pair(instOf, 3), pair(instOf, 101), pair(instOf, 103), pair(nsOf, 101),
		pair(serviceOf, 1), pair(serviceOf, 2), pair(serviceOf, 3), pair(serviceOf, 4), pair(serviceOf, 5), pair(serviceOf, 6),
		pair(serviceOf, 7), pair(serviceOf, 8), pair(serviceOf, 9), pair(serviceOf, 20), pair(serviceOf, 77), pair(nsOf, 1), pair(nsOf, 200),
		{at("198.51.100.7"), at("2001:db8:100::7")}, {at("192.0.2.1"), at("2001:db8::3")}, {at("224.0.0.5"), at("ff02::5")},
		{at("0.0.0.0"), at("::")}, {at("255.255.255.255"), at("::ffff:10.18.0.2")}, {at("192.0.2.2"), at("2001:db8::4")},
		ownAddresses,
	} {
		all = append(all, p[fam])
	}
	return all
}

// spec is a packet before it has bytes.
type spec struct {
	src, dst     netip.Addr
	proto        uint8 // as IPv4 says it
	sport, dport uint16
	flags, kind  uint8 // of TCP, of ICMP
	tos          uint8
	options      bool
	noChecksum   bool
	more         bool // more fragments
	offset       uint16
	payload      []byte
}

func (s spec) bytes() []byte {
	six := s.src.Is6()
	var l4 []byte
	check := 0
	proto := s.proto
	switch s.proto {
	case unix.IPPROTO_TCP:
		l4, check = make([]byte, 20), 16
		l4[12], l4[13] = 5<<4, s.flags
	case unix.IPPROTO_UDP:
		l4, check = make([]byte, 8), 6
		binary.BigEndian.PutUint16(l4[4:], uint16(8+len(s.payload)))
	default:
		l4, check = make([]byte, 8), 2
	}
	if s.proto == unix.IPPROTO_TCP || s.proto == unix.IPPROTO_UDP {
		binary.BigEndian.PutUint16(l4, s.sport)
		binary.BigEndian.PutUint16(l4[2:], s.dport)
	} else {
		l4[0] = s.kind
		binary.BigEndian.PutUint16(l4[4:], s.sport)
	}
	if six && proto == unix.IPPROTO_ICMP {
		proto = unix.IPPROTO_ICMPV6
	}
	l4 = append(l4, s.payload...)
	if !s.noChecksum {
		sum := uint32(0)
		if six || proto != unix.IPPROTO_ICMP {
			sum = words(s.dst.AsSlice()) + words(s.src.AsSlice()) + uint32(proto) + uint32(len(l4))
		}
		binary.BigEndian.PutUint16(l4[check:], folded(sum+words(l4)))
	}
	if s.offset > 0 { // a later piece has no header
		l4 = l4[8:]
	}
	if six {
		return s.bytes6(proto, l4)
	}
	h := make([]byte, 20)
	if s.options {
		h = append(h, 1, 1, 1, 0)
	}
	h[0], h[1], h[8], h[9] = byte(0x40|len(h)/4), s.tos, 64, proto
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(l4)))
	binary.BigEndian.PutUint16(h[4:], 0x77)
	binary.BigEndian.PutUint16(h[6:], s.offset)
	if s.more {
		h[6] |= 0x20
	}
	copy(h[12:], s.src.AsSlice())
	copy(h[16:], s.dst.AsSlice())
	binary.BigEndian.PutUint16(h[10:], folded(words(h)))
	return append(h, l4...)
}

func (s spec) bytes6(next uint8, l4 []byte) []byte {
	if s.more || s.offset > 0 {
		h := []byte{next, 0, 0, 0, 0, 0, 0, 0x77}
		binary.BigEndian.PutUint16(h[2:], s.offset<<3)
		if s.more {
			h[3] |= 1
		}
		l4, next = append(h, l4...), unix.IPPROTO_FRAGMENT
	}
	if s.options {
		l4, next = append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, l4...), unix.IPPROTO_HOPOPTS
	}
	h := make([]byte, 40)
	h[0], h[1], h[6], h[7] = 0x60|s.tos>>4, s.tos<<4, next, 64
	binary.BigEndian.PutUint16(h[4:], uint16(len(l4)))
	copy(h[8:], s.src.AsSlice())
	copy(h[24:], s.dst.AsSlice())
	return append(h, l4...)
}

func words(b []byte) (sum uint32) {
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i]) << 8
		if i+1 < len(b) {
			sum += uint32(b[i+1])
		}
	}
	return sum
}

func folded(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func framed(ip []byte) []byte {
	eth := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}
	if ip[0]>>4 == 6 {
		eth[12], eth[13] = 0x86, 0xdd
	}
	return append(eth, ip...)
}

// wrapped is what a peer makes of a packet.
func wrapped(from model.Peer, tag uint32, tos uint8, next byte, inner []byte) []byte {
	body := append([]byte{0x0c, 0, 0, next, byte(tag >> 16), byte(tag >> 8), byte(tag), 0}, inner...)
	return framed(spec{src: from.Outer, dst: from.Local, proto: unix.IPPROTO_UDP, sport: max(from.Port, 1), dport: ourPort, tos: tos,
		noChecksum: true, payload: body}.bytes())
}

// spoil changes a byte or cuts the end off; most steps say neither.
func spoil(step []byte, frame []byte) []byte {
	where := 12 + (int(step[fAt]) % max(len(frame)-12, 1))
	switch step[fHow] {
	case 200:
		frame[where] ^= step[fWith]
	case 201:
		frame = frame[:max(14, where)]
	case 202:
		frame = append(frame, make([]byte, int(step[fWith])%64)...)
	}
	return frame
}
