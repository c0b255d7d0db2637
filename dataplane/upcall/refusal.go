// SPDX-License-Identifier: Apache-2.0

package upcall

import (
	"encoding/binary"
	"net/netip"
)

const (
	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17

	tcpFIN, tcpSYN, tcpRST, tcpACK = 1, 2, 4, 16

	icmpEchoRequest     = 8
	icmpUnreachable     = 3
	icmpHostUnreachable = 1
	icmpPortUnreachable = 3
	// largestICMP is the size that RFC 1812 allows an error message at most, in bytes of IP.
	largestICMP = 576
)

// refusal is the packet that tells a sender that nobody answers, nil if it is to hear nothing. If that is final, TCP is reset and UDP
// learns that its port is unreachable: errors that a socket reports at once. If it may be otherwise in a moment, they learn that the host
// is: TCP then goes on trying. Echo requests get the latter in both cases. An ICMP error comes from the router, if it has an address, else
// from whom the packet was for. IPv4 only.
func refusal(p []byte, router netip.Addr, final bool) []byte {
	if len(p) < 20 || p[0]>>4 != 4 {
		return nil
	}
	header := int(p[0]&0xf) * 4
	total := min(int(binary.BigEndian.Uint16(p[2:])), len(p))
	if header < 20 || total < header+8 || binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
		return nil
	}
	code := byte(icmpHostUnreachable)
	switch p[9] {
	case protoTCP:
		if final {
			return reset(p[:total], header)
		}
	case protoUDP:
		if final {
			code = icmpPortUnreachable
		}
	case protoICMP:
		if p[header] != icmpEchoRequest {
			return nil
		}
	default:
		return nil
	}
	if !router.Is4() {
		router = netip.AddrFrom4([4]byte(p[16:]))
	}
	return unreachable(p[:total], router, code)
}

func unreachable(p []byte, from netip.Addr, code byte) []byte {
	quoted := p[:min(len(p), largestICMP-20-8)]
	b := make([]byte, 28, 28+len(quoted))
	b = append(b, quoted...)
	b[20], b[21] = icmpUnreachable, code
	binary.BigEndian.PutUint16(b[22:], checksum(0, b[20:]))
	return ip4(b, protoICMP, from.As4(), [4]byte(p[12:]))
}

// reset answers a segment as RFC 9293, 3.10.7.1 has a closed port do.
func reset(p []byte, header int) []byte {
	tcp := p[header:]
	if len(tcp) < 20 || int(tcp[12]>>4)*4 < 20 || int(tcp[12]>>4)*4 > len(tcp) || tcp[13]&tcpRST != 0 {
		return nil
	}
	b := make([]byte, 40)
	r := b[20:]
	copy(r[0:2], tcp[2:4])
	copy(r[2:4], tcp[0:2])
	r[12] = 5 << 4
	if tcp[13]&tcpACK != 0 {
		copy(r[4:8], tcp[8:12])
		r[13] = tcpRST
	} else {
		next := binary.BigEndian.Uint32(tcp[4:]) + uint32(len(tcp)-int(tcp[12]>>4)*4)
		if tcp[13]&tcpSYN != 0 {
			next++
		}
		if tcp[13]&tcpFIN != 0 {
			next++
		}
		binary.BigEndian.PutUint32(r[8:], next)
		r[13] = tcpRST | tcpACK
	}
	pseudo := uint32(protoTCP + len(r))
	for i := 12; i < 20; i += 2 {
		pseudo += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	binary.BigEndian.PutUint16(r[16:], checksum(pseudo, r))
	return ip4(b, protoTCP, [4]byte(p[16:]), [4]byte(p[12:]))
}

// ip4 fills in the header, of 20 bytes, of a packet.
func ip4(b []byte, proto byte, src, dst [4]byte) []byte {
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[6] = 0x40 // do not fragment
	b[8] = 64
	b[9] = proto
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	binary.BigEndian.PutUint16(b[10:], checksum(0, b[:20]))
	return b
}

// checksum is the internet's, of b and a sum to start with.
func checksum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
