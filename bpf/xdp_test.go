// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"maps"
	"testing"

	"golang.org/x/sys/unix"
)

// What XDP programs return.
const (
	cardDrop = 1
	cardPass = 2
)

// TestCardJudgesAsTheUplinkDoes gives the card's program every kind of packet, in both outer families: what it drops it counts as the
// uplink's program would, and what it passes it has not touched.
func TestCardJudgesAsTheUplinkDoes(t *testing.T) {
	for _, f := range []pairing{{V4, V4}, {V4, V6}} {
		head := 14 + Overhead(f.outer == V4) // of all outer headers
		stranger := f.outside(outside)
		good := func() []byte {
			return tunnelled(f.outside(peerOuter), serverTag, tcp(farClient, server, 1, 2, flagSYN).ip())
		}
		changed := func(at int, to byte) []byte {
			b := good()
			b[at] = to
			return b
		}
		hello := tunnelled(stranger, serverTag, nil)
		hello[head-5] = 0xfe
		for name, c := range map[string]struct {
			frame   []byte
			verdict uint32
			reason  string
		}{
			"of a peer":      {good(), cardPass, ""},
			"of a stranger":  {tunnelled(stranger, serverTag, nil), cardDrop, "unknown_peer"},
			"flags":          {changed(head-8, 0xff), cardDrop, "bad_header"},
			"reserved":       {changed(head-7, 1), cardDrop, "bad_header"},
			"reserved again": {changed(head-6, 1), cardDrop, "bad_header"},
			"last byte":      {changed(head-1, 1), cardDrop, "bad_header"},
			"hello":          {hello, cardPass, ""},
			"other port":     {changed(head-8-6, 1), cardPass, ""},
			"TCP":            {changed([2]int{14 + 9, 14 + 6}[f.outer], unix.IPPROTO_TCP), cardPass, ""},
			"cut short":      {good()[:head-1], cardPass, ""},
			"ARP":            {changed(13, 6), cardPass, ""},
		} {
			k := newKernelOf(t, f)
			verdict, out, err := k.progs.XDP.Test(c.frame)
			must(t, err)
			want := map[string]uint64{}
			if c.reason != "" {
				want[c.reason] = 1
			}
			if got := k.drops(); verdict != c.verdict || !maps.Equal(got, want) || !bytes.Equal(out, c.frame) {
				t.Errorf("%s, %s: verdict %d and drops %v, want %d and %v", f, name, verdict, got, c.verdict, want)
			}
		}
	}
}
