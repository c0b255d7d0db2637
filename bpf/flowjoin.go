// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"encoding/binary"

	"github.com/cilium/ebpf/btf"
)

// flowFields are the places in a value of what two entries of one flow are joined by.
type flowFields struct {
	is                             bool // a value of a map of flows
	begin, end                     int  // of the translation
	packets                        int
	created, lastSeen, flags, seen int
}

func fieldsOf(value btf.Type) flowFields {
	f := flowFields{
		begin: offset(value, "t"), end: offset(value, "last_ack"), packets: offset(value, "c", "packets"), created: offset(value, "c", "created"),
		lastSeen: offset(value, "c", "last_seen"), flags: offset(value, "c", "flags"), seen: offset(value, "c", "seen"),
	}
	f.is = min(f.begin, f.end, f.packets, f.created, f.lastSeen, f.flags, f.seen) >= 0
	return f
}

// learned are those flags that a flow only ever gets, and that either build's programs may have been the ones to give.
const learned = FlowEstablished | FlowClosed | FlowDead

// join returns what the entries of the former maps and of the new ones come to: the one that was used last. Where both are of the same flow,
// each build's programs may have seen packets that the other's have not, and what all of them tell is kept.
func (f flowFields) join(former, has []byte) []byte {
	last, other := former, has
	since := int32(f.u32(former, f.lastSeen) - f.u32(has, f.lastSeen))
	if since < 0 || since == 0 && binary.LittleEndian.Uint64(former[f.packets:]) < binary.LittleEndian.Uint64(has[f.packets:]) {
		last, other = has, former
	}
	joined := bytes.Clone(last)
	if f.u32(former, f.created) != f.u32(has, f.created) || !bytes.Equal(former[f.begin:f.end], has[f.begin:f.end]) {
		return joined
	}
	flags := binary.LittleEndian.Uint16(last[f.flags:]) | binary.LittleEndian.Uint16(other[f.flags:])&learned
	binary.LittleEndian.PutUint16(joined[f.flags:], flags)
	joined[f.seen] |= other[f.seen]
	return joined
}

func (f flowFields) u32(value []byte, at int) uint32 { return binary.LittleEndian.Uint32(value[at:]) }
