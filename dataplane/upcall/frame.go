// SPDX-License-Identifier: Apache-2.0

package upcall

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

const ethLen = 14

// The first bytes of the destination address of every frame that the programs redirect; the peer's index follows.
const (
	mac0 = 0x02
	mac1 = 0x6f
)

// deliver instead of a peer's index has the programs hand the packet to the local endpoint that is its destination.
const deliver = 0xffffffff

// frame is one packet on its way up and back.
type frame struct {
	raw  []byte // with the headers before the packet; written back unchanged
	peer uint32 // that it came from; 0: a container
	key  wanted
	at   time.Time // when it came
}

// wanted is what a frame waits for.
type wanted struct {
	addr   bpf.Addr
	source bool // an Instance IP as the source of packets from a peer; else a destination
}

// parse takes a frame apart. ok is false for what the programs have not sent, such as the kernel's own greetings on a new interface.
func parse(raw []byte, at time.Time) (f frame, ok bool) {
	if len(raw) < vnetLen+ethLen+1 {
		return f, false
	}
	eth := raw[vnetLen:]
	if eth[0] != mac0 || eth[1] != mac1 {
		return f, false
	}
	f = frame{raw: raw, at: at, peer: binary.BigEndian.Uint32(eth[2:])}
	src, dst, ok := addresses(eth[ethLen:])
	if !ok || f.peer == deliver {
		return f, false
	}
	f.key = wanted{addr: bpf.AddrFrom(dst)}
	if f.peer != 0 {
		f.key = wanted{addr: bpf.AddrFrom(src), source: true}
	}
	return f, true
}

// addresses are those of an IPv4 or IPv6 packet.
func addresses(p []byte) (src, dst netip.Addr, ok bool) {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		return netip.AddrFrom4([4]byte(p[12:])), netip.AddrFrom4([4]byte(p[16:])), true
	case len(p) >= 40 && p[0]>>4 == 6:
		return netip.AddrFrom16([16]byte(p[8:])), netip.AddrFrom16([16]byte(p[24:])), true
	}
	return src, dst, false
}
