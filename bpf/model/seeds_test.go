// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"math/rand/v2"
	"slices"
)

// seeds are the scripts that the fuzzer begins with: conversations as they happen, with something odd between.
func seeds() [][]byte {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same every time is what is wanted
	step := func(b ...byte) []byte { return append(b, make([]byte, stepLen-len(b))...) }
	var all [][]byte
	for fam := range byte(2) {
		for dst := range byte(len(addressBook(0))) {
			for n := range byte(6) {
				proto := n % 3
				script := []byte{}
				first := step(opClient, fam, 0, dst, proto, 0, 1, 0, 0, 0, byte(r.IntN(256)))
				if n >= 3 {
					first = step(opTunnel+byte(r.IntN(2)), fam, 4+byte(r.IntN(2)), dst%3, proto, 0, 1, 0, byte(r.IntN(4)), 0, byte(r.IntN(256)), byte(r.IntN(256)))
				}
				script = append(script, first...)
				script = append(script, step(opAnswer, 0, 0, 0, 0, 1)...)
				script = append(script, step(opAnswer, 0, 0, 0, 0, 2)...)
				script = append(script, step(opComplain, 0, 0, 0, 0, byte(r.IntN(4)))...)
				for range r.IntN(8) {
					odd := make([]byte, stepLen)
					odd[fOp] = byte(r.IntN(ops))
					odd[fKind] = fam | byte(r.IntN(64))<<1&byte(r.IntN(256))
					for f := fSrc; f < fHow; f++ {
						odd[f] = byte(r.IntN(256))
					}
					odd[fLen] = byte(r.IntN(64))
					if r.IntN(6) == 0 {
						odd[fHow], odd[fAt], odd[fWith] = 200+byte(r.IntN(3)), byte(r.IntN(256)), byte(r.IntN(256))
					}
					script = append(script, odd...)
				}
				script = append(script, step(opAgain)...)
				script = append(script, step(opAnswer, 0, 0, 0, 0, 3)...)
				script = append(script, step(opAnswer, 0, 0, 0, 0, 3)...)
				script = append(script, step(opBack)...)
				all = append(all, script)
			}
		}
	}
	return slices.Concat(all, oddities(step), edges(step))
}

// edges are conversations over the worker's own ports, and of the worker itself; and more of them than one may have.
func edges(step func(...byte) []byte) [][]byte {
	const own, behind8, tcp, udp = 26, 14, 0, 1 // in the address book, and of protos
	var all [][]byte
	for fam := range byte(2) {
		for proto := range byte(2) {
			for _, opener := range [][]byte{
				step(opCaller, fam, 0, 0, proto, 0, 1, 0),
				step(opCaller, fam, 0, 0, proto, 0, 1, 1),
				step(opClient, fam, 0, own, proto, 0, 1, 8),
				step(opServer, fam, 0, own, proto, 0, 1, 8), // calls himself
				step(opClient, fam, 0, own, proto, 0, 1, 3),
				step(opHost, fam, 0, 7, proto, 0, 1, 0),
				step(opHost, fam, 0, behind8, proto, 0, 1, 0),
				step(opTunnel, fam, 4, 18, proto, 0, 1, 0, 0, 2), // a peer calls the worker
			} {
				again := slices.Clone(opener)
				again[fFlags] = 2
				all = append(all, slices.Concat(opener, step(opAnswer, 0, 0, 0, 0, 1), step(opAnswer, 0, 0, 0, 0, 2), again,
					step(opComplain, 0, 1), step(opAnswer, 0, 0, 0, 0, 3), step(opComplain, 0, 1), step(opAnswer, 0, 0, 0, 0, 3),
					step(opAgain), opener, step(opAnswer, 0, 0, 0, 0, 5)))
			}
			// One more established flow than there may be: of a caller's, of who is called from outside and by a peer, and of both families.
			for _, opener := range [][]byte{
				step(opClient, fam, 0, 7, proto), step(opCaller, fam, 0, 0, proto), step(opTunnel, fam, 4, 1, proto), step(opClient, fam, 0, own, proto, 0, 0, 8),
				step(opHost, fam, 0, 7, proto),
			} {
				var script []byte
				for sport := range byte(6) {
					opener[fSport] = sport
					last := slices.Clone(opener)
					last[fFlags] = 2
					script = slices.Concat(script, opener, step(opAnswer, 0, 0, 0, 0, 1), last)
				}
				all = append(all, append(script, step(opAnswer)...))
			}
		}
		all = append(all, slices.Concat(step(opTunnel, fam, 4, 1, tcp, 0, 0, 0, 255), step(opTunnel, fam, 4, 1, udp, 0, 0, 0, 255)))
	}
	return all
}

// oddities are what chance would seldom find.
func oddities(step func(...byte) []byte) [][]byte {
	const unknown, behind3, behind8, throughAll = 17, 15, 14, 8 // in the address book
	udp := byte(1)
	full := func(fam, dst byte) []byte {
		s := step(opClient, fam, 0, dst, udp)
		s[fLen] = 255
		return s
	}
	short := func(s []byte, most byte) []byte {
		s[fLen] = most
		return s
	}
	spoilt := func(s []byte, how, at, with byte) []byte {
		s[fHow], s[fAt], s[fWith] = how, at-12, with
		return s
	}
	long := step(opClient, 0, 0, behind3, udp)
	long[fLen] = 180
	var all [][]byte
	for fam := range byte(2) {
		long := slices.Clone(long)
		long[fKind] = fam
		for _, script := range [][][]byte{
			{step(opTunnel, fam, 4, 1, udp, 0, 0, 0, 253), step(opTunnelBy6, fam, 4, 1, udp, 0, 0, 0, 253)},
			{long},
			{step(opTunnel+fam, 0, 4, 1, udp, 0, 0, 0, 252, 0, 1), step(opTunnel+fam, 0, 4, 1, udp, 0, 0, 0, 252, 0, 2),
				step(opTunnel+fam, 0, 4, 1, udp, 0, 0, 0, 252, 0, 3)},
			{spoilt(step(opClient, fam, 0, behind3, udp), 200, 13, 6)},
			{spoilt(step(opTunnel, fam, 4, 1, udp), 200, 20, 0x20)},
			{step(opChange, 3), step(opClient, fam, 0, unknown, udp)},
			{step(opClient, fam, 0, unknown, udp), step(opClient, fam, 0, unknown, udp), step(opBack), step(opReinject, fam, 0, unknown, udp)},
			// Held packets of a known service, the last of which come back.
			{step(opReinject, fam, 0, behind3, udp), step(opClient, fam, 0, behind3, udp), step(opAnswer), step(opAgain)},
			{step(opTunnel, fam, 6, 1, udp), step(opTunnel, fam, 5, 1, udp, 0, 0, 0, 1), step(opBack), step(opBack)},
			// An instance goes, its place gets another owner, and is used again.
			{step(opClient, fam, 0, 14, 0, 0), step(opAnswer, 0, 0, 0, 0, 1), step(opAnswer, 0, 0, 0, 0, 2), step(opChange, 2, 0),
				step(opClient, fam, 0, 14, 0, 2), step(opClient, fam, 0, 14, 0, 0)},
			// The same instance under another of its addresses: the port moves.
			{step(opClient, fam, 0, 14, udp, 0, 1), step(opClient, fam, 0, 4, udp, 0, 1), step(opAnswer), step(opAnswer), step(opComplain, 0, 0, 0, 0, 1)},
			// A router narrows the way of a full packet, and is quoted in full, in part, and wrongly.
			{full(fam, behind8), step(opRouter, 2, 0, 0, 0, 2), full(fam, behind8), spoilt(step(opRouter, 4, 0, 0, 0, 2), 200, 84, 1)},
			{full(fam, behind8), step(opRouter, 1, 0, 0, 0, 1), full(fam, behind8), short(step(opRouter, 0, 0, 0, 0, 2), 40), full(fam, behind8)},
			{full(fam, throughAll), full(fam, throughAll), full(fam, throughAll), full(fam, throughAll), step(opRouter, 4, 0, 0, 0, 2), step(opAgain)},
			// A caller moves to another peer.
			{step(opTunnel, fam, 4, 1, udp), step(opChange, 4, 0, fam, 0, 0, 0, 0, 1), step(opTunnel, fam, 4, 1, udp, 0, 0, 0, 1), step(opAnswer)},
		} {
			all = append(all, slices.Concat(script...))
		}
	}
	return all
}
