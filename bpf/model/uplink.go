// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The next protocols of the tunnel's header.
const (
	nextIPv4  = 1
	nextIPv6  = 2
	nextEcho  = 0xfd
	nextHello = 0xfe
)

const helloMax = 256

// UplinkIn is the program for what an uplink receives.
func (w *World) UplinkIn(in []byte) Outcome {
	stack := Outcome{Verdict: Next, Frame: in}
	outer, ok := family(in)
	header := [2]int{20, 40}[outer]
	if !ok || len(in) < ethLen+header {
		return stack
	}
	ip := in[ethLen:]
	var src, dst netip.Addr
	var piece uint16
	proto, udp := ip[6], header
	if outer == V4 {
		src, dst, proto, udp = addr(ip[12:16]), addr(ip[16:20]), ip[9], int(ip[0]&15)*4
		piece = binary.BigEndian.Uint16(ip[6:]) & 0x3fff
	} else {
		src, dst = addr(ip[8:24]), addr(ip[24:40])
	}
	if proto == unix.IPPROTO_UDP && piece&0x1fff == 0 {
		if len(ip) < udp+8 {
			return dropped("malformed")
		}
		if binary.BigEndian.Uint16(ip[udp+2:]) == w.Port {
			out := dropped("bad_header")
			switch {
			case piece != 0:
				out = dropped("outer_fragment")
			case udp == header && len(ip) >= header+16:
				out = w.fromTunnel(bytes.Clone(in), src, outer)
			}
			out.From = "from_tunnel"
			return out
		}
	}
	if w.overlay(src) || w.overlay(dst) {
		return dropped("overlay_on_uplink")
	}
	if proto == icmp(outer) && piece == 0 && udp >= header {
		end := ethLen + header + int(binary.BigEndian.Uint16(ip[4:]))
		if outer == V4 {
			end = ethLen + int(binary.BigEndian.Uint16(ip[2:]))
		}
		stack.Sent = w.told(quote{in, end}, ethLen+udp, dst, outer)
	}
	return w.outside(bytes.Clone(in), outer, stack)
}

// fromTunnel handles a packet on the tunnel's port.
func (w *World) fromTunnel(frame []byte, src netip.Addr, outer int) Outcome {
	ip := frame[ethLen:]
	at := [2]int{20, 40}[outer]
	gpe := ip[at+8 : at+16]
	tos := ip[1]
	if outer == V6 {
		tos = ip[0]<<4 | ip[1]>>4
	}
	tag := uint32(gpe[4])<<16 | uint32(gpe[5])<<8 | uint32(gpe[6])
	switch {
	case src.Is4In6():
		return dropped("unknown_peer")
	case gpe[0] != 0x0c || gpe[1] != 0 || gpe[2] != 0 || gpe[7] != 0:
		return dropped("bad_header")
	case gpe[3] == nextHello:
		body := ip[at+16:]
		if len(body) == 0 || len(body) > helloMax {
			return dropped("malformed")
		}
		return Outcome{Verdict: Drop, Sent: "hello", Hello: body}
	}
	peer := w.peerAt(src, binary.BigEndian.Uint16(ip[at:]))
	switch {
	case peer == 0:
		return dropped("unknown_peer")
	case gpe[3] == nextEcho:
		return echoed(frame, at)
	case gpe[3] != nextIPv4 && gpe[3] != nextIPv6:
		return dropped("bad_header")
	}
	fam := int(gpe[3] - nextIPv4)
	inner := ip[overhead(outer):]
	if len(inner) < [2]int{20, 40}[fam] {
		return dropped("decap_failed")
	}
	bare := append(append(bytes.Clone(frame[:12]), [2][]byte{{8, 0}, {0x86, 0xdd}}[fam]...), inner...)
	return w.inner(bare, fam, peer, tag, tos)
}

// echoed answers a peer's request for an echo, whose UDP header is at a place behind Ethernet's: back to where it came from. An answer
// counts only to who has asked, which nobody has here.
func echoed(frame []byte, at int) Outcome {
	ip := frame[ethLen:]
	if len(ip) < at+32 || string(ip[at+16:at+20]) != "oake" {
		return dropped("malformed")
	}
	switch binary.BigEndian.Uint32(ip[at+20:]) {
	case 1:
		return dropped("echo")
	case 1 << 16:
	default:
		return dropped("malformed")
	}
	out := bytes.Clone(frame)
	back := out[ethLen:]
	swap := func(b []byte, i, j, n int) {
		x := bytes.Clone(b[i : i+n])
		copy(b[i:], b[j:j+n])
		copy(b[j:], x)
	}
	swap(out, 0, 6, 6)
	swap(back, at, at+2, 2)
	binary.BigEndian.PutUint32(back[at+20:], 1)
	if ip[0]>>4 == 6 {
		swap(back, 8, 24, 16)
		back[7] = 64
	} else {
		swap(back, 12, 16, 4)
		back[8] = 64
		copy(back[4:6], []byte{0, 0})
		copy(back[10:12], []byte{0, 0})
		copy(back[10:12], be(checksum(back[:20])))
	}
	return Outcome{Verdict: Redirect, Sent: "echo", Frame: out}
}

// inner handles what a peer has sent, bare.
func (w *World) inner(bare []byte, fam int, peer, tag uint32, tos uint8) Outcome {
	p, reason := parseIP(bare, fam)
	if reason == "" {
		reason = w.parseL4(p, Place{Peer: true, Index: peer})
	}
	if reason != "" {
		return dropped(reason)
	}
	mark, ok := congestion(p.tos&3, tos&3)
	if !ok {
		return dropped("congested")
	}
	if mark != p.tos&3 {
		setTOS(p, p.tos&^3|mark)
	}
	out := w.enter(p, peer, tag, false)
	if out.Reason == "" {
		return out
	}
	return w.answerPeer(p, out, peer, tag)
}

// enter judges a packet of a peer.
func (w *World) enter(p *packet, peer, tag uint32, reinjected bool) Outcome {
	f := w.Flows[p.key]
	if f != nil && p.tcp == SeenSYN && w.ended(p.key) {
		p.replaces, f = true, nil
	}
	wanted := Wanted{Addr: p.key.Src, Source: true}
	if f != nil {
		if f.Tag != tag {
			return dropped("bad_tag")
		}
		if f.Held && !reinjected {
			if !w.settled(wanted) {
				return w.upcall(p, wanted, peer, tag)
			}
			f.Held = false
		}
		return w.forward(p, f)
	}
	iface, here := w.endpointAt(p.key.Dst, p.family)
	ep := w.Endpoints[iface]
	lives, known := w.Sources[p.key.Src]
	switch {
	case p.quoted > 0:
		return dropped("no_flow")
	case !here && w.workerRange(p.key.Dst):
		return dropped("stale_route")
	case !here:
		return dropped("no_endpoint")
	case ep.Tag != tag:
		return dropped("bad_tag")
	case !p.open:
		return dropped("no_flow")
	case known && lives != peer, !known && !w.serviceRange(p.key.Src), !known && reinjected:
		return dropped("bad_source")
	case !reinjected && (!known || !w.settled(wanted)):
		return w.upcall(p, wanted, peer, tag)
	}
	return w.openRemote(p, peer, iface, reinjected)
}

// openRemote opens the flow of a packet of a peer, untranslated.
func (w *World) openRemote(p *packet, peer, iface uint32, held bool) Outcome {
	ep := w.Endpoints[iface]
	if p.replaces {
		w.forget(p.key)
	}
	if w.shareUsed(iface, p.family) {
		return dropped("flow_share")
	}
	f := &Flow{
		Src: p.key.Src, Dst: p.key.Dst, Sport: p.key.Sport, Dport: p.key.Dport, To: Place{Index: iface}, Tag: ep.Tag,
		Remote: true, Held: held, Plain: ep.Host,
	}
	back := mirror(p.key, f)
	if !w.free(p.key, back) {
		// The same opener at another peer has moved; anybody else's flow goes on.
		r := w.Flows[back]
		old := mirror(back, r)
		if !old.From.Peer || !r.Reply || old.Src != p.key.Src || old.Sport != p.key.Sport {
			return dropped("port_exhausted")
		}
		w.forget(old)
	}
	w.insert(p.key, f, back, &Flow{
		Src: p.key.Dst, Dst: p.key.Src, Sport: p.key.Dport, Dport: p.key.Sport, To: Place{Peer: true, Index: peer}, Tag: ep.Tag,
		Reply: true,
	})
	return w.forward(p, f)
}

// Deliver in place of a peer says that a packet goes to whose address it has.
const Deliver = 0xffffffff

// Reinject is the program for what NetManager writes back.
func (w *World) Reinject(in []byte) Outcome {
	out := w.reinject(in)
	out.From = "reinjected"
	return out
}

func (w *World) reinject(in []byte) Outcome {
	fam, ok := family(in)
	if !ok {
		return dropped("not_ip")
	}
	p, reason := parseIP(bytes.Clone(in), fam)
	if reason != "" {
		return dropped(reason)
	}
	peer := binary.BigEndian.Uint32(in[2:])
	switch peer {
	case Deliver:
		if _, ok := w.endpointAt(p.dst, fam); !ok {
			return dropped("no_endpoint")
		}
		clear(p.frame[:12]) // of those of the endpoint, which the model has none of
		return Outcome{Verdict: Redirect, Sent: "to_local", Frame: p.frame}
	case 0:
		w.comesBack(Wanted{Addr: p.dst})
		iface, ok := w.endpointAt(p.src, fam)
		if !ok {
			return dropped("no_endpoint")
		}
		if reason := w.parseL4(p, Place{Index: iface}); reason != "" {
			return dropped(reason)
		}
		if f := w.Flows[p.key]; f != nil {
			return w.byFlow(p, f, true)
		}
		return w.open(p, true)
	}
	w.comesBack(Wanted{Addr: p.src, Source: true})
	if reason := w.parseL4(p, Place{Peer: true, Index: peer}); reason != "" {
		return dropped(reason)
	}
	return w.enter(p, peer, uint32(in[9])<<16|uint32(in[10])<<8|uint32(in[11]), true)
}
