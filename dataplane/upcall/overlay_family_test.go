// SPDX-License-Identifier: Apache-2.0

package upcall_test

import (
	"net/netip"
	"testing"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// family is one of the two kinds of addresses, and where tests take theirs from.
type family struct {
	name string
	// suffix of the names of networks, as package net has them.
	suffix string
	index  int
	// cable are the workers' outer addresses; gateway and inst are inside, of each worker and its container.
	cable         [2]netip.Prefix
	gateway, inst [2]netip.Addr
	// address is the service's; nobody has the other ones.
	address, nobody, nobodyEither netip.Addr
}

var (
	inIPv4 = family{
		name: "IPv4", suffix: "4", index: bpf.V4,
		cable:   [2]netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24")},
		gateway: [2]netip.Addr{netip.MustParseAddr("10.18.0.1"), netip.MustParseAddr("10.18.0.65")},
		inst:    [2]netip.Addr{netip.MustParseAddr("10.30.0.1"), netip.MustParseAddr("10.30.0.2")},
		address: netip.MustParseAddr("10.30.1.1"), nobody: netip.MustParseAddr("10.30.200.1"), nobodyEither: netip.MustParseAddr("10.30.200.2"),
	}
	inIPv6 = family{
		name: "IPv6", suffix: "6", index: bpf.V6,
		cable:   [2]netip.Prefix{netip.MustParsePrefix("2001:db8::1/64"), netip.MustParsePrefix("2001:db8::2/64")},
		gateway: [2]netip.Addr{netip.MustParseAddr("fc00::1"), netip.MustParseAddr("fc00::101")},
		inst:    [2]netip.Addr{netip.MustParseAddr("fdff::1"), netip.MustParseAddr("fdff::2")},
		address: netip.MustParseAddr("fdff:2000::1"), nobody: netip.MustParseAddr("fdff:2000::c8"), nobodyEither: netip.MustParseAddr("fdff:2000::c9"),
	}
)

// eachPairing runs a test in every pairing of what is carried and what carries it.
func eachPairing(t *testing.T, f func(t *testing.T, inner, outer family)) {
	for _, inner := range []family{inIPv4, inIPv6} {
		for _, outer := range []family{inIPv4, inIPv6} {
			t.Run(inner.name+"Over"+outer.name, func(t *testing.T) { f(t, inner, outer) })
		}
	}
}

func (f family) tcp() string { return "tcp" + f.suffix }

func (f family) udp() string { return "udp" + f.suffix }

// gateways are what programs know of them: that of the other family is missing.
func (f family) gateways(own netip.Addr) (out [2]netip.Addr) {
	out[f.index] = own
	return out
}
