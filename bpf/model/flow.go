// SPDX-License-Identifier: Apache-2.0

package model

import "golang.org/x/sys/unix"

// mirror returns the key of the other direction.
func mirror(key Key, f *Flow) Key {
	return Key{Src: f.Dst, Dst: f.Src, Sport: f.Dport, Dport: f.Sport, Proto: key.Proto, From: origin(f.To)}
}

// origin is where packets of the direction opposite to one that goes to a place come from.
func origin(to Place) Place {
	if to.Outside {
		return Outside
	}
	return to
}

// ended reports whether the flow of an opener has ended, whichever side did it.
func (w *World) ended(key Key) bool {
	f := w.Flows[key]
	if f == nil || f.Reply {
		return false
	}
	other := w.Flows[mirror(key, f)]
	return f.Seen&(SeenFIN|SeenRST) != 0 || other != nil && other.Seen&(SeenFIN|SeenRST) != 0
}

// release takes a flow off its backend's count, if the backend's place still is that of who was chosen.
func (w *World) release(f *Flow) {
	if b, ok := w.Backends[f.Backend]; ok && b.Slot == f.Slot && w.Active[f.Backend] > 0 {
		w.Active[f.Backend]--
	}
}

// forget removes a flow by its opener's key.
func (w *World) forget(key Key) {
	f := w.Flows[key]
	if f == nil {
		return
	}
	if !f.Closed {
		w.release(f)
		if f.Established {
			w.charge(key, f, -1)
		}
	}
	back := mirror(key, f)
	if r := w.Flows[back]; r != nil && mirror(back, r) == key {
		delete(w.Flows, back)
	}
	delete(w.Flows, key)
}

// free reports whether a reply may have a key: nobody has it, or the flow itself.
func (w *World) free(key, back Key) bool {
	if key == back {
		return false
	}
	r := w.Flows[back]
	return r == nil || mirror(back, r) == key
}

func (w *World) insert(key Key, f *Flow, back Key, r *Flow) {
	w.Flows[back], w.Flows[key] = r, f
	if f.Backend != 0 {
		w.Active[f.Backend]++
	}
}

// account notes a packet in its direction of a flow, and what that makes of the flow.
func (w *World) account(p *packet, f *Flow) {
	f.Packets++
	f.Bytes += uint64(len(p.frame))
	if p.quoted > 0 {
		return
	}
	f.Seen |= p.tcp
	other := w.Flows[mirror(p.key, f)]
	if f.Closed || other == nil {
		return
	}
	opener, first := f, p.key
	if f.Reply {
		opener, first = other, mirror(p.key, f)
	}
	switch p.key.Proto {
	case unix.IPPROTO_TCP:
		if ends := p.tcp&(SeenFIN|SeenRST) != 0; (f.Seen|other.Seen)&SeenRST != 0 || f.Seen&other.Seen&SeenFIN != 0 {
			if ends || !f.Established && p.tcp != SeenSYN {
				w.release(opener)
				if f.Established {
					w.charge(first, opener, -1)
				}
				f.Closed, other.Closed = true, true
			}
			return
		}
		if !f.Reply && p.tcp&SeenACK != 0 && other.Seen&SeenSYN != 0 {
			w.establish(first, opener, other, f)
		}
	case unix.IPPROTO_UDP:
		if f.Reply {
			w.establish(first, opener, other, f)
		}
	}
}

// establish notes that a flow of an opener's key is established, in both directions, and charges it once.
func (w *World) establish(first Key, opener, one, other *Flow) {
	if !opener.Established {
		w.charge(first, opener, 1)
	}
	one.Established, other.Established = true, true
}

// forward sends a packet the way of its flow.
func (w *World) forward(p *packet, f *Flow) Outcome {
	var peer Peer
	if f.To.Peer {
		peer = w.Peers[f.To.Index]
		if peer.Port == 0 {
			return dropped("peer_down")
		}
		if limit := w.limit(f.To.Index, p.family); limit > 0 && len(p.frame)-ethLen > limit {
			return w.tooBig(p, limit)
		}
	}
	if f.Rewrite {
		translate(p, f)
	}
	w.account(p, f)
	out := Outcome{
		Verdict: Redirect, Sent: "to_local", Frame: p.frame, To: f.To, Tag: f.Tag,
		Got: Key{Src: f.Src, Dst: f.Dst, Sport: f.Sport, Dport: f.Dport, Proto: p.key.Proto},
	}
	switch {
	case f.To.Outside:
		out.Sent = "to_outside"
	case f.Plain:
		clear(p.frame[:6]) // to the endpoint's Ethernet address, which the model has none of
	}
	if f.To.Peer {
		out.Sent, out.Frame, out.SourcePortFree = "to_tunnel", encapsulate(p, peer, f.Tag), peer.Sport == 0
	}
	return out
}

// settled reports whether packets may pass NetManager by: all that it holds of what is wanted have come back.
func (w *World) settled(what Wanted) bool {
	h, ok := w.held[what]
	if !ok {
		return true
	}
	if h.up == h.down {
		delete(w.held, what)
		return true
	}
	return false
}

// upcall hands a packet to NetManager, with what else is known of it in place of its Ethernet addresses.
func (w *World) upcall(p *packet, what Wanted, peer, tag uint32) Outcome {
	const most = 64
	if !w.Manager {
		return dropped("no_manager")
	}
	h := w.held[what]
	if h.up-h.down >= most {
		return dropped("upcall_full")
	}
	h.up++
	w.held[what] = h
	copy(p.frame, []byte{2, 0x6f, byte(peer >> 24), byte(peer >> 16), byte(peer >> 8), byte(peer),
		2, 0x6f, 0x61, byte(tag >> 16), byte(tag >> 8), byte(tag)})
	return Outcome{Verdict: Redirect, Sent: "upcall", Frame: p.frame}
}

func (w *World) comesBack(what Wanted) {
	if h, ok := w.held[what]; ok {
		h.down++
		w.held[what] = h
	}
}
