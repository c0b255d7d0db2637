// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Container is the program for what comes out of a container by an interface.
func (w *World) Container(iface uint32, in []byte) Outcome {
	out := w.fromContainer(iface, in)
	out.From = "from_container"
	return out
}

func (w *World) fromContainer(iface uint32, in []byte) Outcome {
	fam, ok := family(in)
	if !ok {
		return dropped("not_ip")
	}
	p, reason := parseIP(bytes.Clone(in), fam)
	if reason != "" {
		return dropped(reason)
	}
	reason = w.parseL4(p, Place{Index: iface})
	if f := w.Flows[p.key]; f != nil && reason == "" {
		return w.byFlow(p, f, false)
	}
	ep, ok := w.Endpoints[iface]
	switch {
	case !ok:
		return dropped("no_endpoint")
	case p.src != ep.NS[fam] && reason == "neighbour":
		return dropped(reason)
	case p.src != ep.NS[fam]:
		return dropped("spoofed_source")
	case reason == "" && p.quoted == 0 && w.toExposed(p):
		return w.open(p, false)
	case !w.serviceRange(p.dst):
		return w.toHost(p)
	case reason != "":
		return dropped(reason)
	case p.quoted > 0:
		return dropped("no_flow")
	}
	return w.open(p, false)
}

// toHost lets through what is not for the overlay, save to where containers have no business.
func (w *World) toHost(p *packet) Outcome {
	group := p.dst.IsMulticast() || p.dst.IsUnspecified()
	if p.dst.Is4() {
		first := p.dst.As4()[0]
		group = first >= 224 || first == 0
	}
	switch {
	case w.workerRange(p.dst) && p.dst != w.Gateway[p.family]:
		return dropped("namespace_ip")
	case group:
		return dropped("broadcast")
	case w.toTunnel(p):
		return dropped("spoofed_source")
	}
	return Outcome{Verdict: Next, Sent: "to_stack", Frame: p.frame}
}

// toTunnel reports whether a datagram would reach a tunnel as if this worker had sent it.
func (w *World) toTunnel(p *packet) bool {
	if p.proto != unix.IPPROTO_UDP || p.later || p.l4+4 > len(p.frame) {
		return false
	}
	port := binary.BigEndian.Uint16(p.frame[p.l4+2:])
	if port == w.Port {
		return true
	}
	if peer, ok := w.PeerAt[netip.AddrPortFrom(p.dst, 0)]; ok {
		return port == w.Peers[peer].Port
	}
	_, ok := w.PeerAt[netip.AddrPortFrom(p.dst, port)]
	return ok
}

// byFlow judges a packet of a container whose flow is known.
func (w *World) byFlow(p *packet, f *Flow, reinjected bool) Outcome {
	if p.tcp == SeenSYN && w.ended(p.key) {
		p.replaces = true
		return w.open(p, reinjected)
	}
	if f.Held && !reinjected {
		if what := (Wanted{Addr: p.key.Dst}); !w.settled(what) {
			return w.upcall(p, what, 0, 0)
		}
		f.Held = false
	}
	if f.Backend != 0 {
		if b, ok := w.Backends[f.Backend]; !ok || b.Gone || b.Slot != f.Slot {
			if !p.open {
				return w.answer(p, "backend_gone")
			}
			p.replaces = true
			return w.open(p, reinjected)
		}
	}
	return w.forward(p, f)
}

// open opens the flow of a container's packet.
func (w *World) open(p *packet, reinjected bool) Outcome {
	if !p.open {
		return w.answer(p, "no_flow")
	}
	ep := w.Endpoints[p.key.From.Index]
	a, known := w.Addresses[p.key.Dst]
	if !known && w.Own[p.key.Dst] {
		f, reason := w.openExposed(p)
		if reason != "" {
			return w.answer(p, reason)
		}
		return w.forward(p, f)
	}
	switch what := (Wanted{Addr: p.key.Dst}); {
	case reinjected && !known:
		return w.answer(p, "unresolved")
	case !reinjected && (!known || !w.settled(what)):
		return w.upcall(p, what, 0, 0)
	}
	index, reason := w.choose(p.key, a, p.family)
	if reason != "" {
		return w.answer(p, reason)
	}
	b := w.Backends[index]
	if p.replaces {
		w.forget(p.key)
	}
	if w.shareUsed(p.key.From.Index, p.family) {
		return w.answer(p, "flow_share")
	}
	to := Place{Index: b.Iface}
	if b.Peer != 0 {
		to = Place{Peer: true, Index: b.Peer}
	}
	f := &Flow{
		Src: ep.Inst[p.family], Dst: b.NS[p.family], Sport: p.key.Sport, Dport: p.key.Dport, To: to, Tag: b.Tag,
		Rewrite: true, Held: reinjected, Backend: index, Slot: b.Slot,
	}
	if !w.moved(p.key, f) {
		return dropped("a port that may not be given")
	}
	w.insert(p.key, f, mirror(p.key, f), &Flow{
		Src: p.key.Dst, Dst: p.key.Src, Sport: p.key.Dport, Dport: p.key.Sport, To: p.key.From, Tag: b.Tag,
		Rewrite: true, Reply: true, Remote: b.Peer != 0,
		Plain: ep.Host,
	})
	return w.forward(p, f)
}
