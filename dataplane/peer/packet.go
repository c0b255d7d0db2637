// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"encoding/binary"
	"net/netip"
)

const (
	ipLen  = 20
	udpLen = 8
)

// packet wraps the body of a datagram into IPv4 (do not fragment) and UDP. The kernel fills in identification and the IPv4
// checksum. Addresses are IPv4.
func packet(from, to netip.AddrPort, body []byte) []byte {
	b := make([]byte, ipLen+udpLen, ipLen+udpLen+len(body))
	b = append(b, body...)

	b[0] = 4<<4 | ipLen/4
	b[1] = 0xc0 // class selector 6: as routing protocols
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[6] = 0x40 // do not fragment
	b[8] = 64   // hops
	b[9] = 17   // UDP
	src, dst := from.Addr().As4(), to.Addr().As4()
	copy(b[12:], src[:])
	copy(b[16:], dst[:])

	udp := b[ipLen:]
	binary.BigEndian.PutUint16(udp[0:], from.Port())
	binary.BigEndian.PutUint16(udp[2:], to.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	binary.BigEndian.PutUint16(udp[6:], udpChecksum(src, dst, udp))
	return b
}

func udpChecksum(src, dst [4]byte, udp []byte) uint16 {
	sum := uint32(17) + uint32(len(udp))
	add := func(b []byte) {
		for ; len(b) >= 2; b = b[2:] {
			sum += uint32(b[0])<<8 | uint32(b[1])
		}
		if len(b) == 1 {
			sum += uint32(b[0]) << 8
		}
	}
	add(src[:])
	add(dst[:])
	add(udp)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if c := ^uint16(sum); c != 0 {
		return c
	}
	return 0xffff // 0 would mean "none"
}
