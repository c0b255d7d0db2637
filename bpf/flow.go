// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"errors"
	"iter"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// FlowKey is one direction of a flow as its packets arrive, of either family.
type FlowKey struct {
	Src, Dst Addr
	// Sport and Dport are in network order. Of an ICMP echo the identifier is the requester's, 0x0800 the other's.
	Sport, Dport uint16
	Proto        uint8
	// From is where the packets come from: the index of a local interface, [FromPeer] with the index of a peer, or [FromOutside].
	From uint32
}

// Where packets come from.
const (
	FromOutside = uint32(mapsOakWhereOAK_FROM_OUTSIDE)
	FromPeer    = uint32(mapsOakWhereOAK_FROM_PEER)
	whereMask   = uint32(mapsOakWhereOAK_WHERE_MASK)
)

// Flow is what is known of one direction of a flow.
type Flow struct {
	// Src to Dport are the packet's after translation; ports in network order.
	Src, Dst     Addr
	Sport, Dport uint16
	Flags        uint16
	Seen         uint8
	// Generation is that of the backend's slot when it was chosen.
	Generation uint16
	// To is the index of the peer that it goes to, if Flags have [FlowTunnel], or of the local interface.
	To uint32
	// Tag is the VNI, 24 bits.
	Tag uint32
	// Backend was chosen by this worker; 0 where another chose.
	Backend uint32
	// Created and LastSeen are of CLOCK_MONOTONIC, with the precision of about a second and a millisecond.
	Created, LastSeen time.Duration
	// LastAck is the last acknowledgement of TCP in network order.
	LastAck        uint32
	Packets, Bytes uint64
}

// Reverse returns the key of the other direction.
func (k FlowKey) Reverse(f Flow) FlowKey {
	r := FlowKey{Src: f.Dst, Dst: f.Src, Sport: f.Dport, Dport: f.Sport, Proto: k.Proto, From: f.To}
	switch {
	case f.Flags&FlowOut != 0:
		r.From = FromOutside
	case f.Flags&FlowTunnel != 0:
		r.From |= FromPeer
	}
	return r
}

// Peer returns the index of the other worker of a flow, 0 for one that stays here.
func (k FlowKey) Peer(f Flow) uint32 {
	switch {
	case f.Flags&FlowTunnel != 0:
		return f.To
	case k.From&FromPeer != 0:
		return k.From &^ FromPeer
	}
	return 0
}

func (k FlowKey) zone() uint32 { return uint32(k.Proto)<<24 | k.From&whereMask }

func (k FlowKey) is4() bool { return k.Dst.Netip().Is4() }

func (k FlowKey) small() mapsOakKey4 {
	return mapsOakKey4{Src: k.Src.be32(), Dst: k.Dst.be32(), Sport: k.Sport, Dport: k.Dport, Zone: k.zone()}
}

func (k FlowKey) large() mapsOakKey {
	return mapsOakKey{Src: k.Src, Dst: k.Dst, Sport: k.Sport, Dport: k.Dport, Zone: k.zone()}
}

func (f Flow) common() mapsOakCt {
	return mapsOakCt{
		Packets: f.Packets, Bytes: f.Bytes, Flags: f.Flags, Generation: f.Generation, To: f.To,
		Tag: [3]uint8{uint8(f.Tag >> 16), uint8(f.Tag >> 8), uint8(f.Tag)}, Seen: f.Seen, Backend: f.Backend,
		Created: uint32(f.Created >> createdShift), LastSeen: uint32(f.LastSeen >> seenShift),
	}
}

// The units of a flow's times, in powers of two of nanoseconds.
const (
	createdShift = int(mapsOakCtClockOAK_CREATED_SHIFT)
	seenShift    = int(mapsOakCtClockOAK_SEEN_SHIFT)
)

// flowOf is the inverse. What the kernel notes of the last packet wraps every seven weeks: what it means follows from now.
func flowOf(c mapsOakCt, now time.Duration) Flow {
	ago := int32(uint32(now>>seenShift) - c.LastSeen)
	return Flow{
		Packets: c.Packets, Bytes: c.Bytes, Flags: c.Flags, Generation: c.Generation, To: c.To,
		Tag:  uint32(c.Tag[0])<<16 | uint32(c.Tag[1])<<8 | uint32(c.Tag[2]),
		Seen: c.Seen, Backend: c.Backend, Created: time.Duration(c.Created) << createdShift,
		LastSeen: now - time.Duration(max(ago, 0))<<seenShift,
	}
}

// FlowTable is all flows, both families together.
type FlowTable struct {
	small Table[mapsOakKey4, mapsOakCt4]
	large Table[mapsOakKey, mapsOakCt6]
	at    time.Duration
}

// At returns the table as seen by somebody who takes at, of CLOCK_MONOTONIC, for now.
func (t FlowTable) At(at time.Duration) FlowTable {
	t.at = at
	return t
}

func (t FlowTable) now() time.Duration {
	if t.at != 0 {
		return t.at
	}
	return monotonic()
}

// Flows returns all flows.
func (m *Maps) Flows() FlowTable { return FlowTable{small: m.Flows4, large: m.Flows6} }

// All yields every entry as [Table.All] does.
func (t FlowTable) All(errp *error) iter.Seq2[FlowKey, Flow] {
	return t.where(func(*mapsOakCt) bool { return true }, errp)
}

// Served yields the flows of which this worker has chosen the instance, if by says yes to it: the direction that it was chosen for. Nothing is
// made of the others, so that it takes less time than All.
func (t FlowTable) Served(by func(Owner) bool, errp *error) iter.Seq2[FlowKey, Flow] {
	return t.where(func(c *mapsOakCt) bool {
		return c.Backend != 0 && by(Owner{Backend: c.Backend, Slot: c.Generation})
	}, errp)
}

func (t FlowTable) where(wanted func(*mapsOakCt) bool, errp *error) iter.Seq2[FlowKey, Flow] {
	return func(yield func(FlowKey, Flow) bool) {
		now := t.now()
		var err4, err6 error
		defer func() {
			if err := errors.Join(err4, err6); err != nil && errp != nil {
				*errp = err
			}
		}()
		for k, e := range t.small.All(&err4) {
			if wanted(&e.C) && !yield(flowKey4(k), flow4(e, now)) {
				return
			}
		}
		for k, e := range t.large.All(&err6) {
			if wanted(&e.C) && !yield(flowKey6(k), flow6(e, now)) {
				return
			}
		}
	}
}

// Lookup returns the entry of key and whether there is one.
func (t FlowTable) Lookup(key FlowKey) (Flow, bool, error) {
	if key.is4() {
		e, ok, err := t.small.Lookup(key.small())
		return flow4(e, t.now()), ok, err
	}
	e, ok, err := t.large.Lookup(key.large())
	return flow6(e, t.now()), ok, err
}

// Put sets the entry of key.
func (t FlowTable) Put(key FlowKey, f Flow) error {
	if key.is4() {
		return t.small.Put(key.small(), mapsOakCt4{
			T:       mapsOakTuple4{Src: f.Src.be32(), Dst: f.Dst.be32(), Sport: f.Sport, Dport: f.Dport},
			LastAck: f.LastAck, C: f.common(),
		})
	}
	return t.large.Put(key.large(), mapsOakCt6{
		T:       mapsOakTuple{Src: f.Src, Dst: f.Dst, Sport: f.Sport, Dport: f.Dport},
		LastAck: f.LastAck, C: f.common(),
	})
}

// Delete removes key; that there is none is no error.
func (t FlowTable) Delete(key FlowKey) error {
	if key.is4() {
		return t.small.Delete(key.small())
	}
	return t.large.Delete(key.large())
}

func flowKey4(k mapsOakKey4) FlowKey {
	return FlowKey{addr4(k.Src), addr4(k.Dst), k.Sport, k.Dport, uint8(k.Zone >> 24), k.Zone & whereMask}
}

func flowKey6(k mapsOakKey) FlowKey {
	return FlowKey{k.Src, k.Dst, k.Sport, k.Dport, uint8(k.Zone >> 24), k.Zone & whereMask}
}

func flow4(e mapsOakCt4, now time.Duration) Flow {
	f := flowOf(e.C, now)
	f.Src, f.Dst, f.Sport, f.Dport, f.LastAck = addr4(e.T.Src), addr4(e.T.Dst), e.T.Sport, e.T.Dport, e.LastAck
	return f
}

func flow6(e mapsOakCt6, now time.Duration) Flow {
	f := flowOf(e.C, now)
	f.Src, f.Dst, f.Sport, f.Dport, f.LastAck = e.T.Src, e.T.Dst, e.T.Sport, e.T.Dport, e.LastAck
	return f
}

// be32 returns an IPv4 address as maps hold it where they hold nothing else.
func (a mapsOakAddr) be32() uint32 { return binary.NativeEndian.Uint32(a.B[12:]) }

// addr4 is the inverse.
func addr4(be uint32) Addr {
	a := Addr{B: [16]uint8{10: 0xff, 11: 0xff}}
	binary.NativeEndian.PutUint32(a.B[12:], be)
	return a
}

// SetAddrs sets the namespace addresses and Instance IPs by family; those that are not valid are left out.
func (b *mapsOakBackend) SetAddrs(ns, inst [2]netip.Addr) {
	b.Ns4, b.Inst4, b.Ns6, b.Inst6 = 0, 0, AddrFrom(ns[V6]), AddrFrom(inst[V6])
	if ns[V4].IsValid() {
		b.Ns4 = AddrFrom(ns[V4]).be32()
	}
	if inst[V4].IsValid() {
		b.Inst4 = AddrFrom(inst[V4]).be32()
	}
}

// Ns returns the namespace address of a family, the zero Addr if there is none.
func (b mapsOakBackend) Ns(family int) Addr { return byFamily(family, b.Ns4, b.Ns6) }

// Inst returns the Instance IP of a family, the zero Addr if there is none.
func (b mapsOakBackend) Inst(family int) Addr { return byFamily(family, b.Inst4, b.Inst6) }

func byFamily(family int, small uint32, large Addr) Addr {
	switch {
	case family == V6:
		return large
	case small == 0:
		return Addr{}
	}
	return addr4(small)
}

func monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // cannot fail
	}
	return time.Duration(ts.Nano())
}
