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

// Network is the range of the underlay: a part of 198.18.0.0/15, which RFC 2544 sets aside for test networks, so that it
// overlaps neither the overlay's ranges nor anything that a machine may be connected to.
var Network = netip.MustParsePrefix("198.18.0.0/16")

// MachineAddress is the machine's own address on the underlay: the default gateway of every host.
var MachineAddress = netip.MustParseAddr("198.18.0.1")

// Host is one host to be made.
type Host struct {
	Name    string
	Address netip.Addr
}

// NetNS returns the name of a host's network namespace, as "ip netns" shows it.
func NetNS(host string) string { return prefix + host }

// Path returns the file that stands for a host's network namespace.
func Path(host string) string { return filepath.Join(nsDir, NetNS(host)) }
