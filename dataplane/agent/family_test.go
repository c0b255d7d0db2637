// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net"
	"net/netip"
	"testing"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// family is one of the two kinds of addresses, and what tests need of it.
type family struct {
	name string
	// suffix of the names of networks, as package net has them.
	suffix string
	// vip is the service's address, gateway and otherGateway are the workers' own.
	vip, gateway, otherGateway netip.Addr
	instance                   func(wire.LocalEndpoint) netip.Addr
	namespace                  func(wire.LocalEndpoint) netip.Addr
	// cable are the addresses of both ends of a cable.
	cable [2]string
}

var (
	inIPv4 = family{
		name: "IPv4", suffix: "4", vip: netip.MustParseAddr("10.30.0.200"),
		gateway: netip.MustParseAddr("10.18.0.1"), otherGateway: netip.MustParseAddr("10.18.0.65"),
		instance:  func(e wire.LocalEndpoint) netip.Addr { return e.InstanceIP },
		namespace: func(e wire.LocalEndpoint) netip.Addr { return e.NamespaceIP },
		cable:     [2]string{"192.0.2.1/24", "192.0.2.2/24"},
	}
	inIPv6 = family{
		name: "IPv6", suffix: "6", vip: netip.MustParseAddr("fdff:2000::c8"),
		gateway: netip.MustParseAddr("fc00::1"), otherGateway: netip.MustParseAddr("fc00::101"),
		instance:  func(e wire.LocalEndpoint) netip.Addr { return e.InstanceIPv6 },
		namespace: func(e wire.LocalEndpoint) netip.Addr { return e.NamespaceIPv6 },
		cable:     [2]string{"2001:db8::1/64", "2001:db8::2/64"},
	}
	families = []family{inIPv4, inIPv6}
)

// eachFamily runs a test in both.
func eachFamily(t *testing.T, f func(*testing.T, family)) {
	for _, in := range families {
		t.Run(in.name, func(t *testing.T) { f(t, in) })
	}
}

func (f family) tcp() string { return "tcp" + f.suffix }

func (f family) udp() string { return "udp" + f.suffix }

// at is the address with a port, as package net takes it.
func at(a netip.Addr, port string) string { return net.JoinHostPort(a.String(), port) }

// instanceOf is the Instance IP of a route.
func (f family) instanceOf(r wire.RouteInstance) netip.Addr {
	if f.vip.Is6() {
		return r.InstanceIPv6
	}
	return r.InstanceIP
}

// outer is the address of the host at an end of a cable.
func (f family) outer(end int) netip.Addr { return netip.MustParsePrefix(f.cable[end]).Addr() }
