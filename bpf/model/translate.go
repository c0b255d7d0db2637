// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// patch writes b at a place and has checksums follow by the difference (RFC 1624), so that a wrong one stays as wrong as it was.
func patch(frame []byte, at int, b []byte, checks ...int) {
	for _, check := range checks {
		sum := uint32(^binary.BigEndian.Uint16(frame[check:])) + 0xffff // the sum of something is never 0
		for i := 0; i < len(b); i += 2 {
			sum += uint32(^binary.BigEndian.Uint16(frame[at+i:])) + uint32(binary.BigEndian.Uint16(b[i:]))
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		binary.BigEndian.PutUint16(frame[check:], ^uint16(sum))
	}
	copy(frame[at:], b)
}

func be(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

// addresses gives an IP header new ones. Checks are those besides its own that they count in.
func addresses(frame []byte, ip, fam int, src, dst netip.Addr, checks ...int) {
	if fam == V4 {
		checks = append(checks, ip+10)
		patch(frame, ip+12, src.AsSlice(), checks...)
		patch(frame, ip+16, dst.AsSlice(), checks...)
		return
	}
	patch(frame, ip+8, src.AsSlice(), checks...)
	patch(frame, ip+24, dst.AsSlice(), checks...)
}

// translate gives a packet the addresses and ports of its flow.
func translate(p *packet, f *Flow) {
	if p.quoted > 0 {
		translateError(p, f)
		return
	}
	var checks []int
	none := false // UDP without a checksum has none afterwards
	check := 0
	if !p.later {
		switch p.proto {
		case unix.IPPROTO_TCP:
			check = p.l4 + 16
		case unix.IPPROTO_UDP:
			check = p.l4 + 6
			none = p.frame[check] == 0 && p.frame[check+1] == 0
		default:
			check = p.l4 + 2
		}
		if !none && p.proto != unix.IPPROTO_ICMP {
			checks = append(checks, check)
		}
	}
	addresses(p.frame, ethLen, p.family, f.Src, f.Dst, checks...)
	if p.later {
		return
	}
	if p.proto == icmp(p.family) {
		switch {
		case f.Sport != p.key.Sport:
			patch(p.frame, p.l4+4, be(f.Sport), check)
		case f.Dport != p.key.Dport:
			patch(p.frame, p.l4+4, be(f.Dport), check)
		}
		return
	}
	if f.Sport != p.key.Sport || f.Dport != p.key.Dport {
		patch(p.frame, p.l4, append(be(f.Sport), be(f.Dport)...), checks...)
	}
	if p.proto == unix.IPPROTO_UDP && !none && p.frame[check] == 0 && p.frame[check+1] == 0 {
		p.frame[check], p.frame[check+1] = 0xff, 0xff
	}
}

// translateError translates an ICMP error and what it quotes, which went the other way.
func translateError(p *packet, f *Flow) {
	check := p.l4 + 2
	if p.family == V4 {
		// What the quoted header changes by, its own checksum takes back.
		addresses(p.frame, ethLen, V4, f.Src, f.Dst)
		addresses(p.frame, p.quoted, V4, f.Dst, f.Src)
	} else {
		addresses(p.frame, ethLen, V6, f.Src, f.Dst, check)
		addresses(p.frame, p.quoted, V6, f.Dst, f.Src, check)
	}
	if f.Sport == p.key.Sport && f.Dport == p.key.Dport {
		return
	}
	if p.key.Proto == icmp(p.family) {
		id := f.Sport
		if f.Dport != p.key.Dport {
			id = f.Dport
		}
		patch(p.frame, p.quotedL4+4, be(id), check)
		return
	}
	patch(p.frame, p.quotedL4, append(be(f.Dport), be(f.Sport)...), check)
}

// overhead is what the outer headers take.
func overhead(outer int) int { return [2]int{36, 56}[outer] }

// encapsulate puts the outer headers behind the Ethernet header, which stays as it is: the kernel writes it anew on the way out.
func encapsulate(p *packet, peer Peer, tag uint32) []byte {
	inner := p.frame[ethLen:]
	size := len(inner) + 16
	var ip []byte
	if peer.Outer.Is4() {
		ip = make([]byte, 20)
		ip[0], ip[1], ip[6], ip[8], ip[9] = 0x45, p.tos, 0x40, 64, unix.IPPROTO_UDP
		binary.BigEndian.PutUint16(ip[2:], uint16(20+size))
		copy(ip[12:], peer.Local.AsSlice())
		copy(ip[16:], peer.Outer.AsSlice())
		binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	} else {
		ip = make([]byte, 40)
		ip[0], ip[1], ip[6], ip[7] = 0x60|p.tos>>4, p.tos<<4, unix.IPPROTO_UDP, 64
		binary.BigEndian.PutUint16(ip[4:], uint16(size))
		copy(ip[8:], peer.Local.AsSlice())
		copy(ip[24:], peer.Outer.AsSlice())
	}
	out := append(append([]byte{}, p.frame[:ethLen]...), ip...)
	out = append(append(out, be(peer.Sport)...), be(peer.Port)...)
	out = append(append(out, be(uint16(size))...), 0, 0)
	out = append(out, 0x0c, 0, 0, byte(1+p.family), byte(tag>>16), byte(tag>>8), byte(tag), 0)
	return append(out, inner...)
}

func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// congestion is what RFC 6040, 4.2 makes of the marks inside and outside; ok is false where the packet is to be dropped.
func congestion(inside, outside uint8) (mark uint8, ok bool) {
	const not, ect1, ect0, ce = 0, 1, 2, 3
	switch {
	case outside == ce && inside == not:
		return not, false
	case outside == ce:
		return ce, true
	case outside == ect1 && inside == ect0:
		return ect1, true
	}
	return inside, true
}

// setTOS gives the bare packet another traffic class.
func setTOS(p *packet, tos uint8) {
	if p.family == V4 {
		patch(p.frame, ethLen, []byte{p.frame[ethLen], tos}, ethLen+10)
		return
	}
	p.frame[ethLen] = 0x60 | tos>>4
	p.frame[ethLen+1] = tos<<4 | p.frame[ethLen+1]&15
}
