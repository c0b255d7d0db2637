// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"testing"
)

// TestTrafficClassOut holds that the outer header says of a packet what it says itself (RFC 6040, 4.1, normal mode).
func TestTrafficClassOut(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		for tos := range 256 {
			p := tcp(client, vipRemote, 4000, 80, flagSYN).of(f)
			want := tcp(clientInst, farServer, 4000, 80, flagSYN).of(f)
			p.tos, want.tos = uint8(tos), uint8(tos)
			out := k.redirects(fmt.Sprintf("class %#x", tos), k.progs.Container, p.frame())
			f.encapsulated(t, out, farTag, want.ip(), uint8(tos), f.sourcePort(t, out))
		}
	})
}

// TestCongestionIn goes through the whole table of RFC 6040, 4.2: what a router has marked outside reaches the receiver, and the class of
// service is that which the sender gave.
func TestCongestionIn(t *testing.T) {
	const not, ect1, ect0, ce, drop = 0, 1, 2, 3, 0xff
	table := [4][4]uint8{ // by what is inside, then by what is outside
		not:  {not: not, ect1: not, ect0: not, ce: drop},
		ect1: {not: ect1, ect1: ect1, ect0: ect1, ce: ce},
		ect0: {not: ect0, ect1: ect1, ect0: ect0, ce: ce},
		ce:   {not: ce, ect1: ce, ect0: ce, ce: ce},
	}
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		for inside, row := range table {
			for outside, want := range row {
				for _, class := range []uint8{0, 46 << 2} {
					p := tcp(farClient, server, 4000, 80, flagSYN).of(f)
					p.tos = class | uint8(inside)
					frame := tunnelled(f.outside(peerOuter), serverTag, p.ip())
					setTOS(frame[14:], 8<<2|uint8(outside))
					if want == drop {
						k.refuses("congested, of a flow that cannot be told", "congested", loopback, k.progs.UplinkIn, frame)
						continue
					}
					p.tos = class | want
					same(t, k.redirects("marked", k.progs.UplinkIn, frame), p)
				}
			}
		}
	})
}
