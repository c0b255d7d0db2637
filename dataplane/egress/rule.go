// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// rules returns the expressions of each rule on what leaves the host, in order.
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

// filters returns the expressions of each rule on what the host forwards, in order: other networks of the host may answer
// containers, and not reach for them by their namespace addresses.
func (c Config) filters() [][]expr.Any {
	var rules [][]expr.Any
	known := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	for _, p := range c.Subnets {
		rules = append(rules, append(matchPrefix(p, false),
			&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: known, Xor: make([]byte, 4)},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 4)},
			&expr.Counter{},
			&expr.Verdict{Kind: expr.VerdictDrop},
		))
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
