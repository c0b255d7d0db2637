// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// masquerades returns the expressions of each rule on what leaves the host, in order.
//
// What arrives on the tunnel's port is taken for the overlay, and on an exposed port for a caller of its instance. So no
// container's flow may have one of these as its port outside: all get one of a range that holds none of them, their own if it lies
// within and is free.
func (c Config) masquerades() []rule {
	var rules []rule
	for _, p := range c.Overlay {
		rules = append(rules, rule{exprs: append(matchPrefix(p, false), &expr.Verdict{Kind: expr.VerdictReturn})})
	}
	ports := c.portRange()
	for _, p := range c.Subnets {
		for _, proto := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
			rules = append(rules, rule{append(matchPrefix(p, true), matchProto(proto)...), &ports})
		}
		rules = append(rules, rule{exprs: append(matchPrefix(p, true), &expr.Masq{})})
	}
	return rules
}

// filters returns the expressions of each rule on what the host forwards, in order: other networks of the host may answer
// containers, and not reach for them by their namespace addresses.
func (c Config) filters() []rule {
	var rules []rule
	known := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	for _, p := range c.Subnets {
		rules = append(rules, rule{exprs: append(matchPrefix(p, false),
			&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: known, Xor: make([]byte, 4)},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 4)},
			&expr.Counter{},
			&expr.Verdict{Kind: expr.VerdictDrop},
		)})
	}
	return rules
}

// outputs returns the expressions of each rule on what processes of the host send: packets to one of its own addresses never reach
// the uplink, whose program leads everybody else to exposed ports, so these rules lead the host's own there.
func (c Config) outputs() []rule {
	if len(c.Exposed) == 0 {
		return nil
	}
	var rules []rule
	for _, a := range c.Own {
		rules = append(rules, rule{exprs: append(matchPrefix(netip.PrefixFrom(a, a.BitLen()), false),
			&expr.Verdict{Kind: expr.VerdictJump, Chain: exposedChain})})
	}
	return rules
}

// redirects returns the expressions of each rule on what the host sends to one of its own addresses.
func (c Config) redirects() []rule {
	var rules []rule
	for _, e := range c.Exposed {
		family := byte(unix.NFPROTO_IPV4)
		if e.To.Addr().Is6() {
			family = unix.NFPROTO_IPV6
		}
		rules = append(rules, rule{exprs: append(append(matchFamily(family), matchProto(e.Protocol)...),
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(e.Port)},
			&expr.Immediate{Register: 1, Data: e.To.Addr().AsSlice()},
			&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(e.To.Port())},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(family), RegAddrMin: 1, RegProtoMin: 2, Specified: true},
		)})
	}
	return rules
}

func matchFamily(family byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
	}
}

func matchProto(proto byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
	}
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
	return append(matchFamily(family),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask, Xor: make([]byte, size)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Addr().AsSlice()},
	)
}
