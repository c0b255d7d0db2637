// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// rules returns the expressions of each rule, in order.
func (c Config) rules() [][]expr.Any {
	var rules [][]expr.Any
	for _, p := range c.Overlay {
		rules = append(rules, append(matchPrefix(p, false), &expr.Verdict{Kind: expr.VerdictReturn}))
	}
	for _, p := range c.Subnets {
		// What arrives on the tunnel's port is taken for the overlay, so a container's flow from a port of that number must not
		// keep it.
		fromTunnelPort := append(matchPrefix(p, true),
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 2},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(c.TunnelPort)},
			&expr.Masq{FullyRandom: true},
		)
		rules = append(rules, fromTunnelPort, append(matchPrefix(p, true), &expr.Masq{}))
	}
	return rules
}

// matchPrefix matches packets whose source, or else destination, is in p.
func matchPrefix(p netip.Prefix, source bool) []expr.Any {
	p = p.Masked()
	family, offset, size := byte(unix.NFPROTO_IPV4), uint32(12), uint32(4)
	if p.Addr().Is6() {
		family, offset, size = unix.NFPROTO_IPV6, 8, 16
	}
	if !source {
		offset += size
	}
	mask := make([]byte, size)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask, Xor: make([]byte, size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Addr().AsSlice()},
	}
}
