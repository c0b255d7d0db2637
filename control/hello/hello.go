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

// The form of a hello after the tunnel header; all integers are big endian.
//
//	 0 magic u32          24 ...receiver       64 own address 16, port u16
//	 4 flags u8, 0, 0, 0  32 start u64         82 observed address 16, port u16
//	 8 sender 12          40 sequence u64     100 mtu u16, 0, 0
//	20 receiver 12        48 quoted start u64 104 HMAC-SHA256 over 0..104
//	                      56 quoted sequence u64
const (
	magic        = 0x6f616b31 // "oak1"
	signedLen    = 104
	flagWantsAck = 1 << 0
	flagMet      = 1 << 1
)

// Len is the length of a hello, in bytes: of questions as of answers, so that no answer is larger than what it answers.
const Len = signedLen + sha256.Size

// Position orders the hellos of one sender: start counter first, then sequence.
type Position struct {
	Start, Sequence uint64
}

// After reports whether p is of a later hello than q.
func (p Position) After(q Position) bool {
	return p.Start > q.Start || p.Start == q.Start && p.Sequence > q.Sequence
}

// Hello is one greeting from one worker to another.
type Hello struct {
	WantsAnswer bool
	// Met says that the sender takes packets from the receiver's address: it has been confirmed.
	Met              bool
	Sender, Receiver [12]byte
	At               Position
	// Quoted is the receiver's latest accepted hello; zero if none.
	Quoted Position
	// Own is where the sender believes to be, Observed where it has last seen the receiver. Where somebody sees a worker elsewhere than it
	// believes to be, there is a NAT between the two.
	Own, Observed netip.AddrPort
	// MTU is that of the sender's uplink.
	MTU uint16
}

var errBadHello = errors.New("not a hello")

// Encode returns the hello signed with the pair's key.
func (h Hello) Encode(key []byte) []byte {
	b := make([]byte, signedLen, Len)
	binary.BigEndian.PutUint32(b, magic)
	if h.WantsAnswer {
		b[4] |= flagWantsAck
	}
	if h.Met {
		b[4] |= flagMet
	}
	copy(b[8:], h.Sender[:])
	copy(b[20:], h.Receiver[:])
	binary.BigEndian.PutUint64(b[32:], h.At.Start)
	binary.BigEndian.PutUint64(b[40:], h.At.Sequence)
	binary.BigEndian.PutUint64(b[48:], h.Quoted.Start)
	binary.BigEndian.PutUint64(b[56:], h.Quoted.Sequence)
	putAddrPort(b[64:], h.Own)
	putAddrPort(b[82:], h.Observed)
	binary.BigEndian.PutUint16(b[100:], h.MTU)
	return append(b, sign(b, key)...)
}

// Decode reads a hello's form. It says nothing about whether the hello is genuine: see [Genuine].
func Decode(b []byte) (Hello, error) {
	if len(b) != Len {
		return Hello{}, fmt.Errorf("%w: %d bytes long, want %d", errBadHello, len(b), Len)
	}
	if got := binary.BigEndian.Uint32(b); got != magic {
		return Hello{}, fmt.Errorf("%w: magic %#x, want %#x", errBadHello, got, uint32(magic))
	}
	return Hello{
		WantsAnswer: b[4]&flagWantsAck != 0,
		Met:         b[4]&flagMet != 0,
		Sender:      [12]byte(b[8:]),
		Receiver:    [12]byte(b[20:]),
		At:          Position{binary.BigEndian.Uint64(b[32:]), binary.BigEndian.Uint64(b[40:])},
		Quoted:      Position{binary.BigEndian.Uint64(b[48:]), binary.BigEndian.Uint64(b[56:])},
		Own:         addrPort(b[64:]),
		Observed:    addrPort(b[82:]),
		MTU:         binary.BigEndian.Uint16(b[100:]),
	}, nil
}

// Genuine reports whether the bytes, which [Decode] has taken, were signed with the pair's key.
func Genuine(b, key []byte) bool {
	return len(b) == Len && hmac.Equal(b[signedLen:], sign(b[:signedLen], key))
}

func sign(b, key []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(b)
	return mac.Sum(nil)
}

func putAddrPort(b []byte, a netip.AddrPort) {
	if a.Addr().IsValid() {
		a16 := a.Addr().As16()
		copy(b, a16[:])
	}
	binary.BigEndian.PutUint16(b[16:], a.Port())
}

func addrPort(b []byte) netip.AddrPort {
	a := netip.AddrFrom16([16]byte(b)).Unmap()
	if a.IsUnspecified() {
		a = netip.Addr{}
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(b[16:]))
}
