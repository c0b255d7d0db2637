// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

const ethLen = 14

// packet is what is found out about a packet.
type packet struct {
	frame    []byte
	family   int
	src, dst netip.Addr // as the packet says
	key      Key        // of an error, that of the flow's direction it goes in
	proto    uint8
	tos      uint8
	l4, end  int // where the transport's header begins, and the packet ends
	first    bool
	later    bool
	id       uint32
	open     bool  // may open a flow
	tcp      uint8 // Seen…
	quoted   int   // where an error's quoted IP header begins
	quotedL4 int
	replaces bool
}

func family(frame []byte) (int, bool) {
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP:
		return V4, true
	case unix.ETH_P_IPV6:
		return V6, true
	}
	return 0, false
}

func addr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// parseIP reads the IP header behind the Ethernet header. It returns a drop's reason, or "".
func parseIP(frame []byte, fam int) (*packet, string) {
	p := &packet{frame: frame, family: fam}
	ip := frame[ethLen:]
	if fam == V4 {
		if len(ip) < 20 {
			return p, "malformed"
		}
		header, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
		if ip[0]>>4 != 4 || header < 20 || total < header || total > len(ip) {
			return p, "malformed"
		}
		p.src, p.dst, p.proto, p.tos = addr(ip[12:16]), addr(ip[16:20]), ip[9], ip[1]
		p.l4, p.end = ethLen+header, ethLen+total
		if bits := binary.BigEndian.Uint16(ip[6:]); bits&0x3fff != 0 {
			p.later, p.first = bits&0x1fff != 0, bits&0x1fff == 0
			p.id = uint32(binary.BigEndian.Uint16(ip[4:]))
		}
		return p, ""
	}
	if len(ip) < 40 {
		return p, "malformed"
	}
	payload := int(binary.BigEndian.Uint16(ip[4:]))
	p.src, p.dst, p.proto = addr(ip[8:24]), addr(ip[24:40]), ip[6]
	if ip[0]>>4 != 6 || 40+payload > len(ip) || p.src.Is4In6() || p.dst.Is4In6() {
		return p, "malformed"
	}
	p.tos = ip[0]<<4 | ip[1]>>4
	p.l4, p.end = ethLen+40, ethLen+40+payload
	return p, p.skipExtensions()
}

// skipExtensions goes over at most four headers of options and of fragments.
func (p *packet) skipExtensions() string {
	for n := 0; ; n++ {
		switch p.proto {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_DSTOPTS, unix.IPPROTO_FRAGMENT:
		default:
			return ""
		}
		if n == 4 {
			return "protocol"
		}
		if p.l4+8 > p.end {
			return "malformed"
		}
		h, size := p.frame[p.l4:], 8
		if p.proto == unix.IPPROTO_FRAGMENT {
			if p.first {
				return "malformed"
			}
			if bits := binary.BigEndian.Uint16(h[2:]); bits&0xfff9 != 0 {
				p.later, p.first = bits&0xfff8 != 0, bits&0xfff8 == 0
				p.id = binary.BigEndian.Uint32(h[4:])
			}
		} else {
			size += int(h[1]) * 8
		}
		if p.l4+size > p.end {
			return "malformed"
		}
		p.l4 += size
		p.proto = h[0]
		if p.later {
			return ""
		}
	}
}

// parseL4 finds the key of a packet that came from a place.
func (w *World) parseL4(p *packet, from Place) string {
	p.key = Key{Src: p.src, Dst: p.dst, Proto: p.proto, From: from}
	whose := pieceKey{src: p.src, dst: p.dst, id: p.id, from: from}
	if p.family == V4 {
		whose.proto = p.proto
	}
	if p.later {
		first, ok := w.pieces[whose]
		if !ok {
			return "fragment"
		}
		p.proto, p.open = first.proto, first.open
		p.key.Proto, p.key.Sport, p.key.Dport = first.proto, first.sport, first.dport
		return ""
	}
	if p.l4-ethLen > 255 {
		return "protocol"
	}
	h, length := p.frame[p.l4:], p.end-p.l4
	switch {
	case p.proto == unix.IPPROTO_TCP:
		if length < 20 || h[12]>>4 < 5 || int(h[12]>>4)*4 > length {
			return "malformed"
		}
		for bit, seen := range map[byte]uint8{1: SeenFIN, 2: SeenSYN, 4: SeenRST, 16: SeenACK} {
			if h[13]&bit != 0 {
				p.tcp |= seen
			}
		}
		p.open = p.tcp == SeenSYN
		p.key.Sport, p.key.Dport = binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:])
	case p.proto == unix.IPPROTO_UDP:
		if length < 8 {
			return "malformed"
		}
		p.open = true
		p.key.Sport, p.key.Dport = binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:])
	case p.proto == icmp(p.family):
		if length < 8 {
			return "malformed"
		}
		sport, dport, ok := echo(p.proto, h)
		if !ok {
			return p.notEcho(h[0])
		}
		p.key.Sport, p.key.Dport = sport, dport
		p.open = dport == EchoPort
	default:
		return "protocol"
	}
	if p.first {
		w.pieces[whose] = piece{sport: p.key.Sport, dport: p.key.Dport, proto: p.proto, open: p.open}
	}
	return ""
}

func icmp(fam int) uint8 { return [2]uint8{unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6}[fam] }

// echo returns the ports of an echo or its answer.
func echo(proto uint8, h []byte) (sport, dport uint16, ok bool) {
	id := binary.BigEndian.Uint16(h[4:])
	request, answer := byte(8), byte(0)
	if proto == unix.IPPROTO_ICMPV6 {
		request, answer = 128, 129
	}
	switch {
	case h[1] != 0:
	case h[0] == request:
		return id, EchoPort, true
	case h[0] == answer:
		return EchoPort, id, true
	}
	return 0, 0, false
}

// notEcho takes ICMP that is no echo: errors have the key of what they are about.
func (p *packet) notEcho(kind byte) string {
	if p.family == V4 && (kind == 3 || kind == 11 || kind == 12) || p.family == V6 && kind >= 1 && kind <= 4 {
		return p.parseQuoted()
	}
	if p.family == V6 && (kind >= 130 && kind <= 137 || kind == 143) {
		return "neighbour"
	}
	return "protocol"
}

// parseQuoted reads what an error is about, which has to be a packet from whom it goes to, to whom it comes from.
func (p *packet) parseQuoted() string {
	p.quoted = p.l4 + 8
	q := p.frame[p.quoted:]
	var from, to netip.Addr
	var proto uint8
	if p.family == V4 {
		if len(q) < 20 || q[0]>>4 != 4 || q[0]&15 < 5 {
			return "malformed"
		}
		if binary.BigEndian.Uint16(q[6:])&0x1fff != 0 {
			return "fragment"
		}
		from, to, proto, p.quotedL4 = addr(q[12:16]), addr(q[16:20]), q[9], p.quoted+int(q[0]&15)*4
	} else {
		if len(q) < 40 || q[0]>>4 != 6 {
			return "malformed"
		}
		from, to, proto, p.quotedL4 = addr(q[8:24]), addr(q[24:40]), q[6], p.quoted+40
	}
	// Between the overlay's ends is no router that could complain; outside there are.
	if from != p.dst || to != p.src && p.key.From != Outside {
		return "no_flow"
	}
	p.key.Src = to
	if p.quotedL4+8 > p.end {
		return "malformed"
	}
	h := p.frame[p.quotedL4:]
	sport, dport := binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:])
	switch proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP:
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		var ok bool
		if sport, dport, ok = echo(proto, h); !ok {
			return "protocol"
		}
	default:
		return "protocol"
	}
	p.key.Sport, p.key.Dport, p.key.Proto = dport, sport, proto
	return ""
}
