// SPDX-License-Identifier: Apache-2.0

package semantic

import (
	"encoding/binary"
	"math"
	"net/netip"
)

// SubnetCount returns how many subnets of the given prefix length the range holds, at most [math.MaxUint32].
func SubnetCount(r netip.Prefix, bits int) uint32 {
	switch n := bits - r.Bits(); {
	case n < 0:
		return 0
	case n >= 32:
		return math.MaxUint32
	default:
		return 1 << n
	}
}

// Subnet returns the subnet of the given prefix length and index, from 0, of the range; false if it holds no so many.
func Subnet(r netip.Prefix, bits int, index uint32) (netip.Prefix, bool) {
	if index >= SubnetCount(r, bits) || bits > r.Addr().BitLen() {
		return netip.Prefix{}, false
	}
	a, ok := add(r.Masked().Addr(), uint64(index), r.Addr().BitLen()-bits)
	if !ok {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, bits), true
}

// Gateway returns the address by which a worker's host is known in its subnet: the first after the subnet's own.
func Gateway(subnet netip.Prefix) netip.Addr { return subnet.Masked().Addr().Next() }

// HostCount returns how many addresses of the prefix can be given out, at most [math.MaxUint32]: all but the first, which
// names the prefix, and for IPv4 the last, which is its broadcast address.
func HostCount(p netip.Prefix) uint32 {
	bits := p.Addr().BitLen() - p.Bits()
	if bits >= 32 {
		return math.MaxUint32
	}
	reserved := int64(1)
	if p.Addr().Is4() {
		reserved = 2
	}
	return uint32(max(0, int64(1)<<bits-reserved))
}

// Host returns the address of the given index, from 0, among those of [HostCount]; false if there are no so many.
func Host(p netip.Prefix, index uint32) (netip.Addr, bool) {
	if index >= HostCount(p) {
		return netip.Addr{}, false
	}
	return add(p.Masked().Addr(), uint64(index)+1, 0)
}

// add returns a + n·2^shift, and false on overflow of the family's addresses.
func add(a netip.Addr, n uint64, shift int) (netip.Addr, bool) {
	if a.Is4() {
		b := a.As4()
		v := uint64(binary.BigEndian.Uint32(b[:])) + n<<shift
		if v > math.MaxUint32 {
			return netip.Addr{}, false
		}
		binary.BigEndian.PutUint32(b[:], uint32(v))
		return netip.AddrFrom4(b), true
	}
	b := a.As16()
	// Add byte by byte from the one that the shift reaches; shifts here are whole numbers of bits below 64.
	carry := uint64(0)
	for i := 15; i >= 0; i-- {
		low := (15 - i) * 8 // weight of this byte's lowest bit
		var part uint64
		switch d := low - shift; {
		case d >= 64:
		case d >= 0:
			part = n >> d & 0xff
		case d > -8:
			part = n << -d & 0xff
		}
		sum := uint64(b[i]) + part + carry
		b[i], carry = byte(sum), sum>>8
	}
	return netip.AddrFrom16(b), carry == 0
}
