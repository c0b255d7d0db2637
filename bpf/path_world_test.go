// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf/probe"
)

// narrow is a world of which one way is narrow: the client has a flow to the far server, and a packet of it was too long for a router.
type narrow struct {
	*kernel
	f    pairing
	sent []byte // what the router got: the packet with its outer headers
}

// payloadOf is as much as makes a datagram of the flow so long, from the IP header on.
func payloadOf(f pairing, size int) string {
	return strings.Repeat("x", size-[2]int{28, 48}[f.inner])
}

func newNarrow(t *testing.T, f pairing) *narrow {
	t.Helper()
	return newNarrowFor(t, f, 0)
}

// newNarrowFor makes the world where what routers say is believed for so long; 0 is the usual time.
func newNarrowFor(t *testing.T, f pairing, kept time.Duration) *narrow {
	t.Helper()
	has, err := probe.HaveRoom(probe.RoomDecapIPv4 | probe.RoomDecapIPv6)
	must(t, err)
	on := Kernel{DecapL3: has, PathKept: kept}
	w := &narrow{kernel: newKernelOn(t, f, on), f: f}
	peer, _, err := w.maps.Peers.Lookup(1)
	must(t, err)
	peer.Mtu = uint16(1500 - Overhead(f.outer == V4))
	must(t, w.maps.Peers.Put(1, peer))
	out := w.redirects("a packet that is too long for a router", w.progs.Container, w.datagram(1440))
	w.sent = out[14:]
	return w
}

func (w *narrow) datagram(size int) []byte {
	return packet{src: client, dst: vipRemote, proto: unix.IPPROTO_UDP, sport: 4000, dport: 53, payload: payloadOf(w.f, size)}.of(w.f).frame()
}

// carries is what the tunnel carries over a way of that MTU.
func (w *narrow) carries(mtu int) int { return mtu - Overhead(w.f.outer == V4) }

// tooBig is the frame of a router's error about a quoted packet.
func (w *narrow) tooBig(mtu int, quoted []byte) []byte {
	return w.errorFor(w.f.outside(selfOuter), [2]byte{3, 2}[w.f.outer], [2]byte{4, 0}[w.f.outer], mtu, quoted)
}

func (w *narrow) errorFor(to netip.Addr, kind, code byte, mtu int, quoted []byte) []byte {
	l4 := append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, quoted...)
	binary.BigEndian.PutUint32(l4[4:], uint32(mtu))
	p := packet{src: w.f.outside(outside), dst: to, proto: unix.IPPROTO_ICMP}
	binary.BigEndian.PutUint16(l4[2:], fold(sum(l4, p.pseudo(len(l4)))))
	return frame(p.around(l4))
}

// quote is as much of the packet as routers quote, changed.
func (w *narrow) quote(n int, change func(outer, gpe, inner []byte)) []byte {
	q := append([]byte{}, w.sent[:n]...)
	if change != nil {
		at := Overhead(w.f.outer == V4) - 8
		change(q[:at], q[at:at+8], q[at+8:])
	}
	return q
}

func (w *narrow) stat(which uint32) (n uint64) {
	perCPU, _, err := w.maps.Stats.Lookup(which)
	must(w.t, err)
	for _, c := range perCPU {
		n += c.Packets
	}
	return n
}

const (
	lowered = uint32(mapsOakStatOAK_STAT_PATH_LOWERED)
	refused = uint32(mapsOakStatOAK_STAT_PATH_REFUSED)
)

// limit is what the tunnel carries for what routers have said; 0 if they have not.
func (w *narrow) limit() int {
	peer, _, err := w.maps.Peers.Lookup(1)
	must(w.t, err)
	path, _, err := w.maps.Paths.Lookup(1)
	must(w.t, err)
	return int(path.Limit(peer, time.Duration(nanoseconds(w.t))))
}

// says gives an error to the program, which leaves it to the stack whatever it is. It returns whether it was believed, and whether it was
// refused.
func (w *narrow) says(what string, in []byte) (believed, denied bool) {
	w.t.Helper()
	was, wasDenied := w.stat(lowered), w.stat(refused)
	verdict, out := w.run(w.progs.UplinkIn, in)
	if verdict != verdictNext || string(out) != string(in) {
		w.t.Errorf("%s: verdict %#x, changed %v; the host has to get it as it is", what, verdict, string(out) != string(in))
	}
	return w.stat(lowered) != was, w.stat(refused) != wasDenied
}

// passes holds whether a datagram of so many bytes goes out to the peer, and what its sender is told if not.
func (w *narrow) passes(what string, size, told int) {
	w.t.Helper()
	drops := w.drops()["too_big"]
	verdict, out := w.run(w.progs.Container, w.datagram(size))
	if got := w.drops()["too_big"] - drops; verdict != verdictRedirect || got != 0 != (told != 0) {
		w.t.Fatalf("%s: %d bytes: verdict %#x, too_big %d; want that it is too big: %v", what, size, verdict, got, told != 0)
	}
	if told == 0 {
		return
	}
	mtu := int(binary.BigEndian.Uint32(out[w.f.l4At()+4:]))
	if kind := [2]byte{3, 2}[w.f.inner]; out[w.f.l4At()] != kind || mtu != told {
		w.t.Errorf("%s: the sender got type %d with MTU %d, want %d with %d", what, out[w.f.l4At()], mtu, kind, told)
	}
}

// forget takes back what was said, and how often.
func (w *narrow) forget() {
	w.t.Helper()
	must(w.t, w.maps.Paths.Put(1, Path{}))
	must(w.t, w.maps.MissRate.Delete(0xf0000001)) // rate.h
}
