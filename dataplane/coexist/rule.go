// SPDX-License-Identifier: Apache-2.0

package coexist

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Mark begins the comment of every rule of ours; nft and iptables show it.
const Mark = "oakestra: "

// devices is how the names of containers' devices on the host begin.
const devices = "oak-c"

// namePort is where lookups go.
const namePort = 53

// rule is one of ours. Its comment tells it from others.
type rule struct {
	comment string
	match   []expr.Any
}

// directions are the two sides on which a forwarded packet can meet a container's device.
var directions = [...]expr.MetaKey{expr.MetaKeyOIFNAME, expr.MetaKeyIIFNAME}

// rules returns what belongs into a place, in order. Gateways are where containers ask for names.
func (p place) rules(gateways []netip.Addr) (out []rule) {
	if p.hook == *nftables.ChainHookForward {
		for _, d := range directions {
			out = append(out, rule{Mark + "containers", matchDevice(d)})
		}
		return out
	}
	for _, g := range gateways {
		if f := p.chain.Table.Family; f == nftables.TableFamilyIPv4 && !g.Is4() || f == nftables.TableFamilyIPv6 && !g.Is6() {
			continue
		}
		for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			match := append(matchDestination(g, p.chain.Table.Family), matchDevice(expr.MetaKeyIIFNAME)...)
			out = append(out, rule{Mark + "names at " + g.String(), append(match, matchPort(protocol, namePort)...)})
		}
	}
	return out
}

// The matches are as iptables writes those of -d ADDRESS -i NAME+ -p udp --dport PORT: its owner's tools have to be able to read their table.

func matchDevice(d expr.MetaKey) []expr.Any {
	return []expr.Any{&expr.Meta{Key: d, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte(devices)}}
}

func matchDestination(a netip.Addr, f nftables.TableFamily) (out []expr.Any) {
	family, offset := byte(unix.NFPROTO_IPV4), uint32(16)
	if a.Is6() {
		family, offset = unix.NFPROTO_IPV6, 24
	}
	if f == nftables.TableFamilyINet {
		out = append(out, &expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}})
	}
	return append(out,
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(a.BitLen() / 8)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: a.AsSlice()})
}

func matchPort(protocol byte, port uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
	}
}
