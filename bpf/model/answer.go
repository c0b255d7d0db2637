// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	quoteMax = 128
	flagRST  = 4
	flagACK  = 16
)

// answer drops a packet and tells its sender, if that is a container of this worker and is to be told.
func (w *World) answer(p *packet, reason string) Outcome {
	silent := dropped(reason)
	switch {
	case p.key.From.Peer || p.key.From.Outside || p.quoted > 0 || p.later:
		return silent
	case reason == "no_endpoint" || reason == "a port that may not be given":
		return silent
	}
	soft, v4 := reason == "unresolved", p.family == V4
	var body []byte
	switch {
	case p.proto == unix.IPPROTO_TCP && !soft:
		body = w.reset(p)
	case reason == "no_flow" || p.proto != unix.IPPROTO_TCP && p.proto != unix.IPPROTO_UDP && !p.open:
	case p.proto == unix.IPPROTO_UDP && !soft && v4:
		body = w.errorAbout(p, 3, 3, 0)
	case p.proto == unix.IPPROTO_UDP && !soft:
		body = w.errorAbout(p, 1, 4, 0)
	case v4:
		body = w.errorAbout(p, 3, 1, 0)
	default:
		body = w.errorAbout(p, 1, 3, 0)
	}
	return w.tell(p, silent, body)
}

// tooBig tells a container of this worker how long its packets may be.
func (w *World) tooBig(p *packet, mtu int) Outcome {
	silent := dropped("too_big")
	if p.key.From.Peer || p.key.From.Outside || p.quoted > 0 || p.later {
		return silent
	}
	if p.family == V4 {
		return w.tell(p, silent, w.errorAbout(p, 3, 4, mtu))
	}
	return w.tell(p, silent, w.errorAbout(p, 2, 0, mtu))
}

// tell sends an answer to the container that a packet is from. Endpoints of the model have no Ethernet addresses.
func (w *World) tell(p *packet, out Outcome, ip []byte) Outcome {
	if ip == nil {
		return out
	}
	out.Verdict, out.Sent = Redirect, "answered"
	out.Frame = append(append(make([]byte, 12), p.frame[12:ethLen]...), ip...)
	return out
}

// answerPeer resets a peer's connection that has no place here any more, by a packet of that flow. What opens one is left to try again, unless
// its receiver has as many flows as it may.
func (w *World) answerPeer(p *packet, out Outcome, index, tag uint32) Outcome {
	tcp := p.proto == unix.IPPROTO_TCP
	switch out.Reason {
	case "no_flow", "no_endpoint", "stale_route", "bad_tag":
		if !tcp || p.open {
			return out
		}
	case "flow_share":
	default:
		return out
	}
	peer := w.Peers[index]
	if p.quoted > 0 || p.later || peer.Port == 0 {
		return out
	}
	ip := w.refusal(p)
	if ip == nil {
		return out
	}
	rst := &packet{frame: append(bytes.Clone(p.frame[:ethLen]), ip...), family: p.family}
	out.Verdict, out.Sent = Redirect, "answered"
	out.Frame, out.SourcePortFree = encapsulate(rst, peer, tag), peer.Sport == 0
	return out
}

// refusal is what who is not of this worker's containers is told of a flow that is refused; nil if nothing.
func (w *World) refusal(p *packet) []byte {
	v4 := p.family == V4
	switch {
	case p.proto == unix.IPPROTO_TCP:
		return w.reset(p)
	case p.proto == unix.IPPROTO_UDP && v4:
		return w.errorAbout(p, 3, 3, 0)
	case p.proto == unix.IPPROTO_UDP:
		return w.errorAbout(p, 1, 4, 0)
	case v4:
		return w.errorAbout(p, 3, 1, 0)
	}
	return w.errorAbout(p, 1, 3, 0)
}

// reset is the answer of a closed port (RFC 9293, 3.10.7.1), nil if there is none.
func (w *World) reset(p *packet) []byte {
	in := p.frame[p.l4:p.end]
	if p.first || p.tcp&SeenRST != 0 || int(in[12]>>4)*4 > len(in) {
		return nil
	}
	out := make([]byte, 20)
	copy(out, in[2:4])
	copy(out[2:], in[:2])
	out[12] = 5 << 4
	if p.tcp&SeenACK != 0 {
		out[13] = flagRST
		copy(out[4:8], in[8:12])
	} else {
		out[13] = flagRST | flagACK
		next := binary.BigEndian.Uint32(in[4:]) + uint32(len(in)-int(in[12]>>4)*4)
		for _, counts := range []uint8{SeenSYN, SeenFIN} {
			if p.tcp&counts != 0 {
				next++
			}
		}
		binary.BigEndian.PutUint32(out[8:], next)
	}
	return made(p.dst, p.src, unix.IPPROTO_TCP, 0, 16, out)
}

// errorAbout is the ICMP error of the worker's gateway about a packet.
func (w *World) errorAbout(p *packet, kind, code byte, info int) []byte {
	body := append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, p.frame[ethLen:min(p.end, ethLen+quoteMax)]...)
	binary.BigEndian.PutUint32(body[4:], uint32(info))
	from := w.Gateway[p.family]
	if !from.IsValid() || p.key.From.Outside || p.key.From.Peer {
		from = p.dst
	}
	if p.family == V4 {
		return made(from, p.src, unix.IPPROTO_ICMP, 0xc0, 2, body)
	}
	return made(from, p.src, unix.IPPROTO_ICMPV6, 0, 2, body)
}

// made is a packet that the programs make, of a transport whose checksum lies at sum.
func made(src, dst netip.Addr, proto, tos byte, sum int, body []byte) []byte {
	pseudo := slicesOf(src.AsSlice(), dst.AsSlice(), []byte{0, proto, byte(len(body) >> 8), byte(len(body))})
	if proto == unix.IPPROTO_ICMP {
		pseudo = nil
	}
	covered := slices.Concat(pseudo, body)
	binary.BigEndian.PutUint16(body[sum:], checksum(append(covered, make([]byte, len(covered)%2)...)))
	if src.Is6() {
		h := make([]byte, 8)
		h[0], h[6], h[7] = 0x60, proto, 64
		binary.BigEndian.PutUint16(h[4:], uint16(len(body)))
		return slicesOf(h, src.AsSlice(), dst.AsSlice(), body)
	}
	h := slicesOf([]byte{0x45, tos, 0, 0, 0, 0, 0x40, 0, 64, proto, 0, 0}, src.AsSlice(), dst.AsSlice())
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(body)))
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return append(h, body...)
}

func slicesOf(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
