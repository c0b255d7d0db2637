// SPDX-License-Identifier: Apache-2.0

package peer

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
	helloMagic   = 0x6f616b31 // "oak1"
	helloSigned  = 104
	helloLen     = helloSigned + sha256.Size
	flagWantsAck = 1 << 0
	flagMet      = 1 << 1
)

// position orders the hellos of one sender: start counter first, then sequence.
type position struct {
	start, sequence uint64
}

func (p position) after(q position) bool {
	return p.start > q.start || p.start == q.start && p.sequence > q.sequence
}

// hello is one greeting from one worker to another.
type hello struct {
	wantsAnswer      bool
	met              bool // the sender takes packets from the receiver's address: it has been confirmed
	sender, receiver [12]byte
	at               position
	quoted           position       // the receiver's latest accepted hello; zero if none
	own              netip.AddrPort // where the sender believes to be
	observed         netip.AddrPort // where the sender has last seen the receiver
	mtu              uint16         // of the sender's uplink
}

var errBadHello = errors.New("not a hello")

// encode returns the hello signed with the pair's key.
func (h hello) encode(key []byte) []byte {
	b := make([]byte, helloSigned, helloLen)
	binary.BigEndian.PutUint32(b, helloMagic)
	if h.wantsAnswer {
		b[4] |= flagWantsAck
	}
	if h.met {
		b[4] |= flagMet
	}
	copy(b[8:], h.sender[:])
	copy(b[20:], h.receiver[:])
	binary.BigEndian.PutUint64(b[32:], h.at.start)
	binary.BigEndian.PutUint64(b[40:], h.at.sequence)
	binary.BigEndian.PutUint64(b[48:], h.quoted.start)
	binary.BigEndian.PutUint64(b[56:], h.quoted.sequence)
	putAddrPort(b[64:], h.own)
	putAddrPort(b[82:], h.observed)
	binary.BigEndian.PutUint16(b[100:], h.mtu)
	return append(b, sign(b, key)...)
}

// decodeHello reads a hello's form. It says nothing about whether the hello is genuine: see [genuine].
func decodeHello(b []byte) (hello, error) {
	if len(b) != helloLen {
		return hello{}, fmt.Errorf("%w: %d bytes long, want %d", errBadHello, len(b), helloLen)
	}
	if magic := binary.BigEndian.Uint32(b); magic != helloMagic {
		return hello{}, fmt.Errorf("%w: magic %#x, want %#x", errBadHello, magic, helloMagic)
	}
	return hello{
		wantsAnswer: b[4]&flagWantsAck != 0,
		met:         b[4]&flagMet != 0,
		sender:      [12]byte(b[8:]),
		receiver:    [12]byte(b[20:]),
		at:          position{binary.BigEndian.Uint64(b[32:]), binary.BigEndian.Uint64(b[40:])},
		quoted:      position{binary.BigEndian.Uint64(b[48:]), binary.BigEndian.Uint64(b[56:])},
		own:         addrPort(b[64:]),
		observed:    addrPort(b[82:]),
		mtu:         binary.BigEndian.Uint16(b[100:]),
	}, nil
}

// genuine reports whether the bytes, which [decodeHello] has taken, were signed with the pair's key.
func genuine(b, key []byte) bool {
	return len(b) == helloLen && hmac.Equal(b[helloSigned:], sign(b[:helloSigned], key))
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
