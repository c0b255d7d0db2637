// SPDX-License-Identifier: Apache-2.0

package datapath

import "encoding/binary"

const hops = 64

// appendIP appends the header of a packet between two addresses, of 4 or 16 bytes, with so many bytes of payload.
func appendIP(to []byte, proto byte, src, dst []byte, payload int) []byte {
	at := len(to)
	if len(src) == 16 {
		to = append(to, 6<<4, 0, 0, 0, byte(payload>>8), byte(payload), proto, hops)
		return append(append(to, src...), dst...)
	}
	const length = 20
	to = append(to, 0x45, 0, byte((length+payload)>>8), byte(length+payload), 0, 0, 0x40 /* do not fragment */, 0, hops, proto, 0, 0)
	to = append(append(to, src...), dst...)
	binary.BigEndian.PutUint16(to[at+10:], checksum(0, to[at:]))
	return to
}

// pseudo is the sum of what transport checksums cover of the IP header.
func pseudo(src, dst []byte, proto byte, length int) uint32 {
	return sum(sum(uint32(proto)+uint32(length), src), dst)
}

// checksum is the internet's, of b and a sum to start with.
func checksum(start uint32, b []byte) uint16 {
	s := sum(start, b)
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// sum adds up the words of b, which has whole ones.
func sum(s uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	return s
}
