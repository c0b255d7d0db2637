// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Port is a port of this worker's own addresses, and a transport.
type Port struct {
	Port  uint16
	Proto uint8
}

// Exposed is the instance behind such a port.
type Exposed struct {
	Iface  uint32 // of its endpoint
	Port   uint16 // inside
	Uplink uint32 // that callers outside are behind
}

// toExposed reports whether a packet opens a flow to an exposed port.
func (w *World) toExposed(p *packet) bool {
	_, ok := w.Exposed[Port{Port: p.key.Dport, Proto: p.proto}]
	return ok && p.open && w.Own[p.key.Dst]
}

// outside judges what reaches an uplink bare. What is not of a flow to an exposed port is the host's, whatever is wrong with it.
func (w *World) outside(frame []byte, fam int, host Outcome) Outcome {
	p, reason := parseIP(frame, fam)
	if reason != "" {
		return host
	}
	if !p.later && (p.proto == unix.IPPROTO_TCP || p.proto == unix.IPPROTO_UDP) {
		if len(p.frame) < p.l4+4 {
			return host
		}
		if _, ok := w.Exposed[Port{Port: binary.BigEndian.Uint16(p.frame[p.l4+2:]), Proto: p.proto}]; !ok {
			return host
		}
	}
	if w.parseL4(p, Outside) != "" {
		return host
	}
	f := w.Flows[p.key]
	if f != nil && p.tcp == SeenSYN && w.ended(p.key) {
		p.replaces, f = true, nil
	}
	out := Outcome{}
	if f == nil {
		if p.quoted > 0 || !w.toExposed(p) {
			return host
		}
		if f, reason = w.openExposed(p); reason != "" {
			out = w.refuseOutside(p, reason)
			out.From = "from_outside"
			return out
		}
	}
	out = w.forward(p, f)
	out.From = "from_outside"
	return out
}

// openExposed opens the flow of a packet to a port of this worker, or gives a drop's reason.
func (w *World) openExposed(p *packet) (*Flow, string) {
	x, ok := w.Exposed[Port{Port: p.key.Dport, Proto: p.key.Proto}]
	to := w.Endpoints[x.Iface]
	src, dst, plain := p.key.Src, to.NS[p.family], false
	back := Place{Outside: true, Index: x.Uplink}
	if from := p.key.From; from != Outside {
		back = from
		src = w.Endpoints[from.Index].Inst[p.family]
		if from.Index == x.Iface { // as for who calls himself by his service's address
			src, plain = p.key.Dst, true
		}
	}
	if !ok || !dst.IsValid() || !src.IsValid() || src == netip.IPv6Unspecified() { // nobody can be answered there
		return nil, "no_endpoint"
	}
	if p.replaces {
		w.forget(p.key)
	}
	if w.shareUsed(whose(p.key.From, x.Iface), p.family) {
		return nil, "flow_share"
	}
	f := &Flow{Src: src, Dst: dst, Sport: p.key.Sport, Dport: x.Port, To: Place{Index: x.Iface}, Rewrite: true, Plain: plain}
	if !w.moved(p.key, f) {
		return nil, "a port that may not be given"
	}
	w.insert(p.key, f, mirror(p.key, f), &Flow{
		Src: p.key.Dst, Dst: p.key.Src, Sport: p.key.Dport, Dport: p.key.Sport, To: back, Rewrite: true, Reply: true, Plain: plain,
	})
	return f, ""
}

// refuseOutside tells a caller outside that its flow is refused, if the reason is one that it can do something about.
func (w *World) refuseOutside(p *packet, reason string) Outcome {
	out := dropped(reason)
	if reason != "flow_share" || p.later {
		return out
	}
	body := w.refusal(p)
	if body == nil {
		return out
	}
	out.Verdict, out.Sent = Redirect, "answered"
	out.Frame = append(append([]byte{}, p.frame[:ethLen]...), body...)
	return out
}

// whose is the interface of the endpoint that a flow is charged to: its opener's, if that is here.
func whose(from Place, to uint32) uint32 {
	if from.Peer || from.Outside {
		return to
	}
	return from.Index
}

// shareUsed reports whether an endpoint has as many established flows of a family as it may.
func (w *World) shareUsed(iface uint32, fam int) bool {
	return w.Share[fam] > 0 && w.Shares[iface][fam] >= w.Share[fam]
}

// charge counts the established flows of an endpoint.
func (w *World) charge(key Key, f *Flow, by int) {
	fam := V4
	if key.Dst.Is6() {
		fam = V6
	}
	iface := whose(key.From, f.To.Index)
	n := w.Shares[iface]
	n[fam] = max(n[fam]+by, 0)
	w.Shares[iface] = n
}

// moved gives a flow that is being opened another port where the reply's key is taken. It is false for a port that may not be given.
func (w *World) moved(key Key, f *Flow) bool {
	if w.free(key, mirror(key, f)) {
		return true
	}
	f.Sport = w.MovedPort(key)
	return f.Sport >= 49152 && w.free(key, mirror(key, f))
}
