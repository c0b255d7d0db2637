// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// leastInside is what has to pass inside: what IPv6 needs.
const leastInside = 1280

// limit is how long a packet of a family to a peer may be; 0: as long as it likes.
func (w *World) limit(peer uint32, fam int) int {
	mtu, told := w.Peers[peer].MTU, w.Paths[peer]
	if told == 0 {
		return mtu
	}
	if fam == V6 {
		told = max(told, leastInside)
	}
	if mtu == 0 {
		return told
	}
	return min(mtu, told)
}

// quote is a frame of which what lies behind end does not count.
type quote struct {
	frame []byte
	end   int
}

// at returns n bytes, nil if there are fewer.
func (q quote) at(off, n int) []byte {
	if off+n > min(q.end, len(q.frame)) {
		return nil
	}
	return q.frame[off : off+n]
}

// told takes in what a router says of the way to a peer, in an error for to whose ICMP header lies at a place. It returns the counter of what was
// made of it, "" if it is not about the tunnel or says nothing new.
func (w *World) told(q quote, at int, to netip.Addr, outer int) string {
	const believed, refused = "path_lowered", "path_refused"
	header := [2]int{20, 40}[outer]
	head, ip := q.at(at, 8), q.at(at+8, header+8)
	if head == nil || ip == nil {
		return ""
	}
	mtu, length := int(binary.BigEndian.Uint32(head[4:])), int(binary.BigEndian.Uint16(ip[4:]))
	var src, dst netip.Addr
	if outer == V4 {
		if head[0] != 3 || head[1] != 4 || ip[0] != 0x45 || ip[9] != unix.IPPROTO_UDP || ip[6] != 0x40 || ip[7] != 0 {
			return ""
		}
		mtu, length = mtu&0xffff, int(binary.BigEndian.Uint16(ip[2:]))
		src, dst = addr(ip[12:16]), addr(ip[16:20])
	} else {
		if head[0] != 2 || ip[0]>>4 != 6 || ip[6] != unix.IPPROTO_UDP {
			return ""
		}
		if length > 0 {
			length += 40
		}
		src, dst = addr(ip[8:24]), addr(ip[24:40])
	}
	sport, dport := binary.BigEndian.Uint16(ip[header:]), binary.BigEndian.Uint16(ip[header+2:])
	index := w.peerAt(dst, dport)
	peer := w.Peers[index]
	if index == 0 || peer.Outer != dst || peer.Port != dport {
		return ""
	}
	carries := mtu - overhead(outer)
	if known := w.limit(index, V4); known > 0 && carries >= known {
		return ""
	}
	switch {
	case src != peer.Local || to != src,
		peer.Sport != 0 && sport != peer.Sport, peer.Sport == 0 && sport < 49152,
		length > 0 && length <= mtu, mtu < [2]int{576, 1280}[outer]:
		return refused
	}
	proved, ours := w.proves(q, at+8+header+8, index)
	if !ours || !proved && carries < leastInside {
		return refused
	}
	w.Paths[index] = carries
	return believed
}

// proves judges a quoted packet to a peer from the tunnel's header on: whether it could be ours, and whether it shows that it is, by the
// ports and the tag of a flow.
func (w *World) proves(q quote, at int, peer uint32) (proved, ours bool) {
	gpe := q.at(at, 8)
	if gpe == nil {
		return false, true
	}
	if gpe[0] != 0x0c || gpe[1] != 0 || gpe[2] != 0 || gpe[7] != 0 {
		return false, false
	}
	at += 8
	fam := int(gpe[3]) - nextIPv4
	if fam != V4 && fam != V6 {
		return false, false
	}
	header := [2]int{20, 40}[fam]
	ip := q.at(at, header)
	if ip == nil {
		return false, true
	}
	key := Key{From: Place{Peer: true, Index: peer}}
	if fam == V4 {
		if ip[0]>>4 != 4 || ip[0]&15 < 5 {
			return false, false
		}
		if binary.BigEndian.Uint16(ip[6:])&0x1fff != 0 {
			return false, true
		}
		key.Dst, key.Src, key.Proto, header = addr(ip[12:16]), addr(ip[16:20]), ip[9], int(ip[0]&15)*4
	} else {
		if ip[0]>>4 != 6 {
			return false, false
		}
		key.Dst, key.Src, key.Proto = addr(ip[8:24]), addr(ip[24:40]), ip[6]
	}
	h := q.at(at+header, 8)
	if h == nil {
		return false, true
	}
	key.Dport, key.Sport = binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:])
	switch key.Proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP:
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		var ok bool
		if key.Dport, key.Sport, ok = echo(key.Proto, h); !ok {
			return false, true
		}
	default:
		return false, true
	}
	f := w.Flows[key]
	proved = f != nil && f.Tag == uint32(gpe[4])<<16|uint32(gpe[5])<<8|uint32(gpe[6])
	return proved, proved
}
