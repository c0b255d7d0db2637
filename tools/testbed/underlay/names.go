// SPDX-License-Identifier: Apache-2.0

package underlay

import (
	"net/netip"
	"path/filepath"
)

const (
	// prefix marks the testbed's network namespaces among the machine's.
	prefix = "oaktb-"
	// hub is the namespace of the bridge; no host may have this name.
	hub = "net"
	// nsDir is where named network namespaces are kept, by the convention of iproute2.
	nsDir = "/run/netns"
	// machineLink is the machine's own interface on the underlay.
	machineLink = "oaktb0"
	// machinePort is the other end of [machineLink], a port of the bridge.
	machinePort = "machine"
	bridgeName  = "br0"
	// Uplink is the name of every host's interface on the underlay.
	Uplink = "eth0"
	// maxName is the longest name of an interface, IFNAMSIZ - 1: a host's port on the bridge is called as the host is.
	maxName = 15
)

// Family is that of the underlay's addresses; hosts have none of the other.
type Family struct {
	// Network is the range of the underlay.
	Network netip.Prefix
	// Machine is the machine's own address on the underlay: the default gateway of every host.
	Machine netip.Addr
}

// The families. Their ranges are parts of 198.18.0.0/15 and 2001:2::/48, which RFC 2544 and RFC 5180 set aside for test networks, so that
// they overlap neither the overlay's ranges nor anything that a machine may be connected to.
var (
	IPv4 = Family{netip.MustParsePrefix("198.18.0.0/16"), netip.MustParseAddr("198.18.0.1")}
	IPv6 = Family{netip.MustParsePrefix("2001:2::/64"), netip.MustParseAddr("2001:2::1")}
)

// Address is that of a host: its last two parts.
func (f Family) Address(third, fourth byte) netip.Addr {
	if f.Network.Addr().Is4() {
		a := f.Network.Addr().As4()
		a[2], a[3] = third, fourth
		return netip.AddrFrom4(a)
	}
	a := f.Network.Addr().As16()
	a[13], a[15] = third, fourth
	return netip.AddrFrom16(a)
}

// Host is one host to be made.
type Host struct {
	Name string
	// Address is of the underlay, or of [Home] for a host behind a router.
	Address netip.Addr
	// Router is the host behind which this one is; empty for one on the underlay itself.
	Router string
	// Routes says that others are behind this one.
	Routes bool
}

// switchOf is the namespace with the bridge that a host is plugged into.
func (h Host) switchOf() string {
	if h.Router != "" {
		return h.Router
	}
	return hub
}

// NetNS returns the name of a host's network namespace, as "ip netns" shows it.
func NetNS(host string) string { return prefix + host }

// Path returns the file that stands for a host's network namespace.
func Path(host string) string { return filepath.Join(nsDir, NetNS(host)) }
