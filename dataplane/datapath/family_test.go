// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// family is one of the two kinds of addresses, and where tests take theirs from.
type family struct {
	name string
	// suffix of the names of networks, as package net has them.
	suffix string
	// index in the maps, of the kernel's sockets, of Ethernet, and of the tunnel's header.
	index, socket int
	ethernet      uint16
	next          byte
	services      netip.Prefix
	workers       netip.Prefix
	// cable are the workers' outer addresses, subnets those that their containers are in.
	cable   [2]netip.Prefix
	subnets [2]netip.Prefix
	// everybody and group are addresses that a container has no business with.
	everybody, group netip.Addr
}

var (
	inIPv4 = family{
		name: "IPv4", suffix: "4", index: bpf.V4, socket: unix.AF_INET, ethernet: unix.ETH_P_IP, next: 1,
		services: netip.MustParsePrefix("10.30.0.0/16"), workers: netip.MustParsePrefix("10.18.0.0/16"),
		cable:     [2]netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24")},
		subnets:   [2]netip.Prefix{netip.MustParsePrefix("10.18.0.0/26"), netip.MustParsePrefix("10.18.0.64/26")},
		everybody: netip.MustParseAddr("255.255.255.255"), group: netip.MustParseAddr("224.0.0.1"),
	}
	inIPv6 = family{
		name: "IPv6", suffix: "6", index: bpf.V6, socket: unix.AF_INET6, ethernet: unix.ETH_P_IPV6, next: 2,
		services: netip.MustParsePrefix("fdff::/16"), workers: netip.MustParsePrefix("fc00::/16"),
		cable:     [2]netip.Prefix{netip.MustParsePrefix("2001:db8::1/64"), netip.MustParsePrefix("2001:db8::2/64")},
		subnets:   [2]netip.Prefix{netip.MustParsePrefix("fc00::/120"), netip.MustParsePrefix("fc00::100/120")},
		everybody: netip.MustParseAddr("ff02::1"), group: netip.MustParseAddr("ff05::7"),
	}
)

// eachPairing runs a test in every pairing of what is carried and what carries it.
func eachPairing(t *testing.T, f func(*testing.T, *world)) {
	for _, inner := range []family{inIPv4, inIPv6} {
		for _, outer := range []family{inIPv4, inIPv6} {
			t.Run(inner.name+"Over"+outer.name, func(t *testing.T) { f(t, newWorldOf(t, inner, outer)) })
		}
	}
}

// eachFamily is for what does not depend on the underlay.
func eachFamily(t *testing.T, f func(*testing.T, *world)) {
	for _, inner := range []family{inIPv4, inIPv6} {
		t.Run(inner.name, func(t *testing.T) { f(t, newWorldOf(t, inner, inIPv4)) })
	}
}

func (f family) tcp() string { return "tcp" + f.suffix }

func (f family) udp() string { return "udp" + f.suffix }

// at is the address with a port, as package net takes it.
func at(a netip.Addr, port string) string { return net.JoinHostPort(a.String(), port) }

// nth is an address of a prefix: its last byte but one, and its last.
func nth(p netip.Prefix, high, low byte) netip.Addr {
	b := p.Addr().AsSlice()
	b[len(b)-2] += high
	b[len(b)-1] += low
	a, _ := netip.AddrFromSlice(b)
	return a
}

// service is the address of the nth service, unassigned one that nobody has.
func (f family) service(n byte) netip.Addr { return nth(f.services, 0, 100+n) }

func (f family) unassigned() netip.Addr { return nth(f.services, 7, 7) }
