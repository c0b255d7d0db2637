// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFragments carries a datagram in pieces there and back: each piece is translated, and the first one's checksum is that of all.
func TestFragments(t *testing.T) {
	payload := strings.Repeat("0123456789abcdef", 10)
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		out := packet{src: client, dst: vipRemote, proto: unix.IPPROTO_UDP, sport: 4000, dport: 53, payload: payload, id: 0x1234}.of(f)
		there := packet{src: clientInst, dst: farServer, proto: unix.IPPROTO_UDP, sport: 4000, dport: 53, payload: payload, id: 0x1234}.of(f)
		var port uint16
		for i, piece := range out.pieces(64) {
			got := k.redirects("piece out", k.progs.Container, frame(piece))
			if i == 0 {
				port = f.sourcePort(t, got)
			}
			f.encapsulated(t, got, farTag, there.pieces(64)[i], 0, port)
		}
		answer := packet{src: farServer, dst: clientInst, proto: unix.IPPROTO_UDP, sport: 53, dport: 4000, payload: payload, id: 7}.of(f)
		back := packet{src: vipRemote, dst: client, proto: unix.IPPROTO_UDP, sport: 53, dport: 4000, payload: payload, id: 7}.of(f)
		for i, piece := range answer.pieces(64) {
			got := k.redirects("piece back", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, piece))
			if !bytes.Equal(got[14:], back.pieces(64)[i]) {
				t.Errorf("piece %d came back as\n% x\nwant\n% x", i, got[14:], back.pieces(64)[i])
			}
		}
		k.refuses("a later piece of another datagram", "fragment", loopback, k.progs.Container,
			frame(packet{src: client, dst: vipRemote, proto: unix.IPPROTO_UDP, payload: payload, id: 8}.of(f).pieces(64)[1]))
		k.refuses("the same of a peer's", "fragment", loopback, k.progs.UplinkIn,
			tunnelled(f.outside(peerOuter), farTag, packet{src: farServer, dst: clientInst, proto: unix.IPPROTO_UDP, payload: payload, id: 8}.of(f).pieces(64)[1]))
		k.refuses("another container's piece of this datagram", "spoofed_source", otherLink, k.progs.Container, frame(out.pieces(64)[1]))
	})
}

// TestFragmentsOfARemoteOpener carries pieces that open a flow from a peer, untranslated.
func TestFragmentsOfARemoteOpener(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		in := packet{src: farClient, dst: server, proto: unix.IPPROTO_UDP, sport: 4000, dport: 53, payload: strings.Repeat("x", 100), id: 9}.of(f)
		for _, piece := range in.pieces(40) {
			if got := k.redirects("piece", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), serverTag, piece)); !bytes.Equal(got[14:], piece) {
				t.Errorf("piece came out as\n% x\nwant\n% x", got[14:], piece)
			}
		}
	})
}

// extended puts extension headers of IPv6 between the IP header and what it carries; each is what is before it says.
func extended(p packet, headers ...byte) []byte {
	l4 := p.segment()
	next, body := proto6(p.proto), l4
	for i := len(headers) - 1; i >= 0; i-- {
		h := []byte{next, 0, 1, 4, 0, 0, 0, 0} // PadN
		if headers[i] == unix.IPPROTO_FRAGMENT {
			h = []byte{next, 0, 0, 0, 0, 0, 0, 1}
		}
		body, next = append(h, body...), headers[i]
	}
	ip := p.around(body)
	ip[6] = next
	return ip
}

// TestExtensionHeaders holds which headers may stand before the transport's.
func TestExtensionHeaders(t *testing.T) {
	const hop, destination, routing, fragment = unix.IPPROTO_HOPOPTS, unix.IPPROTO_DSTOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_FRAGMENT
	f := pairing{V6, V4}
	k := newKernelOf(t, f)
	in := tcp(client, vipRemote, 4000, 80, flagSYN).of(f)
	want := tcp(clientInst, farServer, 4000, 80, flagSYN).of(f)
	for _, headers := range [][]byte{{hop}, {destination}, {fragment}, {hop, destination}, {hop, destination, fragment, destination}} {
		got := k.redirects("with headers", k.progs.Container, frame(extended(in, headers...)))
		if w := extended(want, headers...); !bytes.Equal(f.stripped(got), w) {
			t.Errorf("headers %v: packet came out as\n% x\nwant\n% x", headers, f.stripped(got), w)
		}
	}
	k.refuses("five headers", "protocol", loopback, k.progs.Container, frame(extended(in, hop, destination, destination, destination, destination)))
	k.refuses("a routing header", "protocol", loopback, k.progs.Container, frame(extended(in, routing)))
	k.refuses("two fragment headers", "malformed", loopback, k.progs.Container, frame(extended(
		packet{src: client, dst: vipRemote, proto: unix.IPPROTO_UDP, fragment: 0x2000}.of(f), hop, fragment)[:60]))
	long := extended(in, hop)
	long[41] = 20 // 168 bytes
	k.refuses("a header longer than the packet", "malformed", loopback, k.progs.Container, frame(long))

	// A header behind the fragment header is named by later pieces, which do not have it.
	whole := packet{src: client, dst: vipRemote, proto: unix.IPPROTO_UDP, sport: 1, dport: 2, payload: strings.Repeat("y", 40)}.of(f)
	fragmentable := append([]byte{unix.IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0}, whole.segment()...)
	for at := 0; at < len(fragmentable); at += 24 {
		end := min(at+24, len(fragmentable))
		h := []byte{destination, 0, 0, 0, 0, 0, 0, 77}
		binary.BigEndian.PutUint16(h[2:], uint16(at))
		if end < len(fragmentable) {
			h[3] |= 1
		}
		ip := whole.around(append(h, fragmentable[at:end]...))
		ip[6] = fragment
		k.redirects("piece behind a header of options", k.progs.Container, frame(ip))
	}
}
