// SPDX-License-Identifier: Apache-2.0

package upcall

import (
	"encoding/binary"
	"net/netip"
)

const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58

	tcpFIN, tcpSYN, tcpRST, tcpACK = 1, 2, 4, 16

	hops = 64
)

// ipPacket is a packet taken apart as far as refusing it needs.
type ipPacket struct {
	raw      []byte // no more than the IP header says
	src, dst netip.Addr
	proto    byte
	body     []byte // what follows the IP header
}

// takeApart refuses what is cut short, and fragments: nobody is told of those.
func takeApart(p []byte) (out ipPacket, ok bool) {
	src, dst, ok := addresses(p)
	if !ok {
		return out, false
	}
	header, total := 40, 40+int(binary.BigEndian.Uint16(p[4:]))
	out = ipPacket{src: src, dst: dst, proto: p[6]}
	if src.Is4() {
		header, total = int(p[0]&0xf)*4, int(binary.BigEndian.Uint16(p[2:]))
		out.proto = p[9]
		ok = header >= 20 && binary.BigEndian.Uint16(p[6:])&0x1fff == 0
	}
	total = min(total, len(p))
	if !ok || total < header+8 {
		return out, false
	}
	out.raw, out.body = p[:total], p[header:total]
	return out, true
}

// icmpKind is what ICMP of a family calls what we have to say.
type icmpKind struct {
	proto                                      byte
	echoRequest, unreachable, host, port, head byte
	// largest is the size of an error message at most, in bytes of IP: what RFC 1812 and RFC 4443 allow.
	largest int
}

func icmpOf(a netip.Addr) icmpKind {
	if a.Is4() {
		return icmpKind{proto: protoICMP, echoRequest: 8, unreachable: 3, host: 1, port: 3, head: 20, largest: 576}
	}
	return icmpKind{proto: protoICMPv6, echoRequest: 128, unreachable: 1, host: 3, port: 4, head: 40, largest: 1280}
}

// refusal is the packet that tells a sender that nobody answers, nil if it is to hear nothing. If that is final, TCP is reset and UDP
// learns that its port is unreachable: errors that a socket reports at once. If it may be otherwise in a moment, they learn that the host
// is: TCP then goes on trying. Echo requests get the latter in both cases. An ICMP error comes from the router, if it has an address of
// the packet's family, else from whom the packet was for.
func refusal(p []byte, router [2]netip.Addr, final bool) []byte {
	in, ok := takeApart(p)
	if !ok {
		return nil
	}
	icmp := icmpOf(in.src)
	code := icmp.host
	switch in.proto {
	case protoTCP:
		if final {
			return reset(in)
		}
	case protoUDP:
		if final {
			code = icmp.port
		}
	case icmp.proto:
		if in.body[0] != icmp.echoRequest {
			return nil
		}
	default:
		return nil
	}
	from := in.dst
	for _, r := range router {
		if r.IsValid() && r.Is4() == in.src.Is4() {
			from = r
		}
	}
	return unreachable(in, icmp, from, code)
}

func unreachable(in ipPacket, icmp icmpKind, from netip.Addr, code byte) []byte {
	quoted := in.raw[:min(len(in.raw), icmp.largest-int(icmp.head)-8)]
	b := make([]byte, 8, 8+len(quoted))
	b = append(b, quoted...)
	b[0], b[1] = icmp.unreachable, code
	sum := uint32(0)
	if from.Is6() {
		sum = pseudo(from, in.src, icmp.proto, len(b)) // that of IPv4 has none
	}
	binary.BigEndian.PutUint16(b[2:], checksum(sum, b))
	return ip(icmp.proto, from, in.src, b)
}

// reset answers a segment as RFC 9293, 3.10.7.1 has a closed port do.
func reset(in ipPacket) []byte {
	tcp := in.body
	if len(tcp) < 20 || int(tcp[12]>>4)*4 < 20 || int(tcp[12]>>4)*4 > len(tcp) || tcp[13]&tcpRST != 0 {
		return nil
	}
	r := make([]byte, 20)
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
	binary.BigEndian.PutUint16(r[16:], checksum(pseudo(in.dst, in.src, protoTCP, len(r)), r))
	return ip(protoTCP, in.dst, in.src, r)
}

// ip puts a header before the body of a packet.
func ip(proto byte, src, dst netip.Addr, body []byte) []byte {
	if src.Is6() {
		b := make([]byte, 40, 40+len(body))
		b[0], b[6], b[7] = 6<<4, proto, hops
		binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
		copy(b[8:], src.AsSlice())
		copy(b[24:], dst.AsSlice())
		return append(b, body...)
	}
	b := make([]byte, 20, 20+len(body))
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(body)))
	b[6] = 0x40 // do not fragment
	b[8], b[9] = hops, proto
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(b[10:], checksum(0, b))
	return append(b, body...)
}

// pseudo is the sum of what transport checksums cover of the IP header.
func pseudo(src, dst netip.Addr, proto byte, length int) uint32 {
	sum := uint32(proto) + uint32(length)
	for _, a := range [][]byte{src.AsSlice(), dst.AsSlice()} {
		for i := 0; i < len(a); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(a[i:]))
		}
	}
	return sum
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
