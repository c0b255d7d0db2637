// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

// icmpError is an error about a packet, from whom it was for to whom has sent it.
func icmpError(kind, code uint8, about packet) packet {
	quoted := about.ip()
	return packet{src: about.dst, dst: about.src, proto: unix.IPPROTO_ICMP, icmp: kind, code: code,
		payload: string(quoted[:min(len(quoted), 60)])}
}

// mended gives what an error quotes the checksum that it had before translation: routers do not see to that, and nobody looks at it.
func mended(want []byte, got []byte, f pairing) []byte {
	at := f.l4At() - 14 + 8 + f.l4At() - 14 // the quoted transport's header
	proto := got[f.l4At()-14+8+[2]int{9, 6}[f.inner]]
	field, ok := map[uint8]int{unix.IPPROTO_UDP: 6, unix.IPPROTO_ICMP: 2, unix.IPPROTO_ICMPV6: 2, unix.IPPROTO_TCP: 16}[proto]
	if !ok {
		return want
	}
	want = bytes.Clone(want)
	copy(want[at+field:at+field+2], got[at+field:at+field+2])
	check := f.l4At() - 14 + 2
	copy(want[check:check+2], []byte{0, 0})
	l4 := want[f.l4At()-14:]
	p := packet{src: addrAt(want, f, 0), dst: addrAt(want, f, 1), proto: unix.IPPROTO_ICMP}
	c := fold(sum(l4, p.pseudo(len(l4))))
	want[check], want[check+1] = byte(c>>8), byte(c)
	return want
}

// TestErrorsOfFlows sends ICMP errors about packets of flows, both ways: what they quote is translated back, and checksums are right, also
// where the flow's port has been moved.
func TestErrorsOfFlows(t *testing.T) {
	kinds := []struct {
		name       string
		kind, code uint8
	}{{"port unreachable", 3, 3}, {"fragmentation needed", 3, 4}, {"time exceeded", 11, 0}, {"parameter problem", 12, 0}}
	eachPairing(t, func(t *testing.T, f pairing) {
		for _, proto := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMP} {
			for _, moved := range []bool{false, true} {
				k := newKernelOf(t, f)
				open := packet{src: client, dst: vipRemote, proto: proto, sport: 0x0800, dport: 80, flags: flagSYN, icmp: 8, payload: "hello"}.of(f)
				vip := vipRemote
				if moved { // the same socket to the same instance under another address
					k.redirects("open", k.progs.Container, open.frame())
					vip = farInst
					open.dst = f.inside(farInst)
				}
				there := k.redirects("open", k.progs.Container, open.frame())
				sport := f.sport(there)
				if proto == unix.IPPROTO_ICMP {
					there := f.stripped(there)
					sport = uint16(there[f.l4At()-14+4])<<8 | uint16(there[f.l4At()-14+5])
				}
				if moved == (sport == 0x0800) {
					t.Fatalf("protocol %d: port %#x on the way to the instance, moved %v", proto, sport, moved)
				}
				sent := packet{src: clientInst, dst: farServer, proto: proto, sport: sport, dport: 80, flags: flagSYN, icmp: 8, payload: "hello"}.of(f)
				f.encapsulated(t, there, farTag, sent.ip(), 0, f.sourcePort(t, there))
				for _, kind := range kinds {
					got := k.redirects(kind.name, k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, icmpError(kind.kind, kind.code, sent).ip()))
					want := icmpError(kind.kind, kind.code, open).ip()
					if want = mended(want, got[14:], f); !bytes.Equal(got[14:], want) {
						t.Errorf("protocol %d, moved %v, %s to the client:\n% x\nwant\n% x", proto, moved, kind.name, got[14:], want)
					}
				}
				// And about the answer.
				answer := packet{src: farServer, dst: clientInst, proto: proto, sport: 80, dport: sport, flags: flagSYN | flagACK, payload: "well"}
				seen := packet{src: vip, dst: client, proto: proto, sport: 80, dport: 0x0800, flags: flagSYN | flagACK, payload: "well"}
				if proto == unix.IPPROTO_ICMP {
					answer.sport, seen.sport = sport, 0x0800
				}
				answer, seen = answer.of(f), seen.of(f)
				got := k.redirects("answer", k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, answer.ip()))
				same(t, got, seen)
				got = k.redirects("error about the answer", k.progs.Container, icmpError(3, 3, seen).frame())
				if want := mended(icmpError(3, 3, answer).ip(), f.stripped(got), f); !bytes.Equal(f.stripped(got), want) {
					t.Errorf("protocol %d, moved %v, error to the server:\n% x\nwant\n% x", proto, moved, f.stripped(got), want)
				}
			}
		}
	})
}

// TestForgedErrors holds that an error counts only about a packet of a flow, from whom it went to, to whom it came from.
func TestForgedErrors(t *testing.T) {
	eachPairing(t, func(t *testing.T, f pairing) {
		k := newKernelOf(t, f)
		k.redirects("open", k.progs.Container, tcp(client, vipRemote, 4000, 80, flagSYN).of(f).frame())
		sent := tcp(clientInst, farServer, 4000, 80, flagSYN).of(f)
		fake := func(what, reason string, p packet) {
			t.Helper()
			k.refuses(what, reason, loopback, k.progs.UplinkIn, tunnelled(f.outside(peerOuter), farTag, p.ip()))
		}
		fake("no such flow", "no_flow", icmpError(3, 1, tcp(clientInst, farServer, 4001, 80, flagSYN).of(f)))
		third := icmpError(3, 1, sent)
		third.src = f.inside(farClient)
		fake("from a third one", "no_flow", third)
		third = icmpError(3, 1, sent)
		third.dst = f.inside(serverInst)
		fake("to a third one", "no_flow", third)
		cut := icmpError(3, 1, sent)
		cut.payload = cut.payload[:f.l4At()-14+4]
		fake("less than 8 bytes of the transport", "malformed", cut)
		padding := icmpError(3, 1, sent)
		padding.payload = padding.payload[:f.l4At()-14+4]
		k.refuses("the same with padding behind the packet", "malformed", loopback, k.progs.UplinkIn,
			tunnelled(f.outside(peerOuter), farTag, append(padding.ip(), make([]byte, 20)...)))
		other := icmpError(3, 1, packet{src: sent.src, dst: sent.dst, proto: unix.IPPROTO_SCTP})
		fake("another protocol", "protocol", other)
		version := icmpError(3, 1, sent)
		version.payload = "\x05" + version.payload[1:]
		fake("of no version", "malformed", version)
		k.refuses("out of a container, of no flow", "no_flow", loopback, k.progs.Container,
			icmpError(3, 1, tcp(vipRemote, client, 81, 4000, flagACK).of(f)).frame())
		k.refuses("out of a container that is not who it is about", "no_flow", otherLink, k.progs.Container,
			icmpError(3, 1, packet{src: vipRemote, dst: server, proto: unix.IPPROTO_TCP, sport: 80, dport: 4000}.of(f)).frame())
	})
}
