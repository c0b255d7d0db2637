// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"encoding/binary"
	"net/netip"
)

const (
	ip4Len = 20
	ip6Len = 40
	udpLen = 8

	protoUDP = 17
	hops     = 64
	class    = 0xc0 // class selector 6: as routing protocols
)

// packet wraps the body of a datagram into IP (do not fragment) and UDP. The kernel fills in identification and checksum of IPv4. Both
// addresses are of one family.
func packet(from, to netip.AddrPort, body []byte) []byte {
	header := ip6Len
	if to.Addr().Is4() {
		header = ip4Len
	}
	b := make([]byte, header+udpLen, header+udpLen+len(body))
	b = append(b, body...)
	if to.Addr().Is4() {
		putIPv4(b, from.Addr(), to.Addr())
	} else {
		putIPv6(b, from.Addr(), to.Addr())
	}
	udp := b[header:]
	binary.BigEndian.PutUint16(udp[0:], from.Port())
	binary.BigEndian.PutUint16(udp[2:], to.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	binary.BigEndian.PutUint16(udp[6:], udpChecksum(from.Addr(), to.Addr(), udp))
	return b
}

func putIPv4(b []byte, src, dst netip.Addr) {
	b[0] = 4<<4 | ip4Len/4
	b[1] = class
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[6] = 0x40 // do not fragment
	b[8] = hops
	b[9] = protoUDP
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
}

func putIPv6(b []byte, src, dst netip.Addr) {
	binary.BigEndian.PutUint32(b, 6<<28|class<<20)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-ip6Len))
	b[6] = protoUDP
	b[7] = hops
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
}

func udpChecksum(src, dst netip.Addr, udp []byte) uint16 {
	sum := uint32(protoUDP) + uint32(len(udp))
	add := func(b []byte) {
		for ; len(b) >= 2; b = b[2:] {
			sum += uint32(b[0])<<8 | uint32(b[1])
		}
		if len(b) == 1 {
			sum += uint32(b[0]) << 8
		}
	}
	add(src.AsSlice())
	add(dst.AsSlice())
	add(udp)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if c := ^uint16(sum); c != 0 {
		return c
	}
	return 0xffff // 0 would mean "none"
}
