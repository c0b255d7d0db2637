// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestForgedErrorsNarrowNothing: an error has to quote what only a router on the way has seen.
func TestForgedErrorsNarrowNothing(t *testing.T) {
	type change = func(outer, gpe, inner []byte)
	flip := func(in func(outer, gpe, inner []byte) []byte, at int) change {
		return func(outer, gpe, inner []byte) { in(outer, gpe, inner)[at] ^= 1 }
	}
	outer := func(o, _, _ []byte) []byte { return o }
	gpe := func(_, g, _ []byte) []byte { return g }
	inner := func(_, _, i []byte) []byte { return i }
	eachPairing(t, func(t *testing.T, f pairing) {
		w := newNarrow(t, f)
		src, dst, udp := [2]int{15, 23}[f.outer], [2]int{19, 39}[f.outer], [2]int{20, 40}[f.outer]
		innerSrc, innerDst, innerUDP := [2]int{15, 23}[f.inner], [2]int{19, 39}[f.inner], [2]int{20, 40}[f.inner]
		zero := func(b []byte) { clear(b) }
		for name, c := range map[string]struct {
			mtu    int
			change change
			silent bool // it is not even about a peer of ours
		}{
			"another source outside":    {1400, flip(outer, src), false},
			"a port that is not ours":   {1400, func(o, _, _ []byte) { zero(o[udp : udp+2]) }, false},
			"shorter than what it says": {1400, func(o, _, _ []byte) { copy(o[[2]int{2, 4}[f.outer]:], []byte{0x05, 0x00}) }, false},
			"less than any link":        {[2]int{575, 1279}[f.outer], nil, false},
			"no MTU at all":             {0, nil, false},
			"another tag":               {1400, flip(gpe, 6), false},
			"tag of another endpoint":   {1400, func(_, g, _ []byte) { copy(g[4:], []byte{0xab, 0xcd, 0xef}) }, false},
			"a flag":                    {1400, flip(gpe, 0), false},
			"a hello":                   {1400, func(_, g, _ []byte) { g[3] = 0xfe }, false},
			"not IP inside":             {1400, func(_, _, i []byte) { i[0] ^= 0x10 }, false},
			"the other family inside":   {1400, func(_, g, _ []byte) { g[3] ^= 3 }, false},
			"another source inside":     {1400, flip(inner, innerSrc), false},
			"another instance":          {1400, flip(inner, innerDst), false},
			"another port inside":       {1400, flip(inner, innerUDP), false},
			"another protocol inside":   {1400, func(_, _, i []byte) { i[[2]int{9, 6}[f.inner]] = unix.IPPROTO_TCP }, false},
			"to a stranger":             {1400, flip(outer, dst), true},
			"to another port":           {1400, flip(outer, udp+3), true},
			"of another protocol":       {1400, func(o, _, _ []byte) { o[[2]int{9, 6}[f.outer]] = unix.IPPROTO_TCP }, true},
			"of another version":        {1400, func(o, _, _ []byte) { o[0] ^= 0x20 }, true},
		} {
			believed, denied := w.says(name, w.tooBig(c.mtu, w.quote(128, c.change)))
			if believed || denied == c.silent || w.limit() != 0 {
				t.Errorf("%s: believed %v, refused %v, limit %d; want it refused, and counted as that: %v", name, believed, denied, w.limit(), !c.silent)
			}
		}
		// One that says nothing of the MTU, one that is for another host, and one that is cut off before the ports.
		kind := [2]byte{3, 2}[f.outer]
		for name, in := range map[string][]byte{
			"of another type": w.errorFor(f.outside(selfOuter), kind+1, [2]byte{4, 0}[f.outer], 1400, w.quote(128, nil)),
			"cut off":         w.tooBig(1400, w.sent[:[2]int{27, 47}[f.outer]]),
			"nothing":         w.tooBig(1400, nil),
		} {
			if believed, denied := w.says(name, in); believed || denied {
				t.Errorf("%s: believed %v, refused %v; want neither", name, believed, denied)
			}
		}
		toOther := w.errorFor(f.outside(outside), kind, [2]byte{4, 0}[f.outer], 1400, w.quote(128, nil))
		if believed, denied := w.says("for another host", toOther); believed || !denied {
			t.Errorf("for another host: believed %v, refused %v; want it refused", believed, denied)
		}
		if f.outer == V4 {
			w.refusesPieces()
		}
		// And it is not that nothing is believed here.
		if believed, _ := w.says("genuine", w.tooBig(1400, w.quote(128, nil))); !believed {
			t.Error("the genuine one is not believed")
		}
	})
}

// refusesPieces: the tunnel's packets are never in pieces, may not be taken apart, and have no options.
func (w *narrow) refusesPieces() {
	w.t.Helper()
	for name, change := range map[string]func(outer, gpe, inner []byte){
		"a later piece":         func(o, _, _ []byte) { o[7] = 1 },
		"may be taken apart":    func(o, _, _ []byte) { o[6] = 0 },
		"with options":          func(o, _, _ []byte) { o[0]++ },
		"host is unreachable":   nil,
		"the error is in parts": nil,
	} {
		in := w.tooBig(1400, w.quote(128, change))
		switch name {
		case "host is unreachable":
			in = w.errorFor(w.f.outside(selfOuter), 3, 1, 1400, w.quote(128, nil))
		case "the error is in parts":
			in[14+6] = 0x20
		}
		if believed, denied := w.says(name, in); believed || denied {
			w.t.Errorf("%s: believed %v, refused %v; want neither", name, believed, denied)
		}
	}
}
