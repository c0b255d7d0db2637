// SPDX-License-Identifier: Apache-2.0

package hello

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// The form of a notice after the tunnel header; all integers are big endian.
//
//	 0 magic u32, 0 u32    32 start u64      64 tag u32, 0 u32
//	 8 sender 12           40 sequence u64   72 HMAC-SHA256 over 0..72
//	20 receiver 12         48 address 16
const (
	noticeMagic  = 0x6f616b73 // "oaks"
	noticeSigned = 72
)

// NoticeLen is the length of a notice, in bytes.
const NoticeLen = noticeSigned + sha256.Size

// Notice tells a worker that its packets to an address with a tag find nobody there: its route is stale.
type Notice struct {
	Sender, Receiver [12]byte
	At               Position
	Address          netip.Addr
	Tag              uint32
}

var errBadNotice = errors.New("not a notice")

// Encode returns the notice signed with the pair's key.
func (n Notice) Encode(key []byte) []byte {
	b := make([]byte, noticeSigned, NoticeLen)
	binary.BigEndian.PutUint32(b, noticeMagic)
	copy(b[8:], n.Sender[:])
	copy(b[20:], n.Receiver[:])
	binary.BigEndian.PutUint64(b[32:], n.At.Start)
	binary.BigEndian.PutUint64(b[40:], n.At.Sequence)
	if n.Address.IsValid() {
		a := n.Address.As16()
		copy(b[48:], a[:])
	}
	binary.BigEndian.PutUint32(b[64:], n.Tag)
	return append(b, sign(b, key)...)
}

// IsNotice reports whether the bytes are to be read by [DecodeNotice], and not by [Decode].
func IsNotice(b []byte) bool { return len(b) == NoticeLen && binary.BigEndian.Uint32(b) == noticeMagic }

// DecodeNotice reads a notice's form. It says nothing about whether the notice is genuine: see [GenuineNotice].
func DecodeNotice(b []byte) (Notice, error) {
	if !IsNotice(b) {
		return Notice{}, fmt.Errorf("%w: %d bytes", errBadNotice, len(b))
	}
	return Notice{
		Sender: [12]byte(b[8:]), Receiver: [12]byte(b[20:]),
		At:      Position{binary.BigEndian.Uint64(b[32:]), binary.BigEndian.Uint64(b[40:])},
		Address: netip.AddrFrom16([16]byte(b[48:])).Unmap(),
		Tag:     binary.BigEndian.Uint32(b[64:]),
	}, nil
}

// GenuineNotice reports whether the bytes, which [DecodeNotice] has taken, were signed with the pair's key.
func GenuineNotice(b, key []byte) bool {
	return len(b) == NoticeLen && hmac.Equal(b[noticeSigned:], sign(b[:noticeSigned], key))
}
