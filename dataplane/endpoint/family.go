// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// family is one of the two kinds of addresses, as netlink numbers them.
type family int

const (
	v4 family = netlink.FAMILY_V4
	v6 family = netlink.FAMILY_V6
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return v4
	}
	return v6
}

// host is the network that holds a alone.
func host(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// everything is the destination of the default route of a's family.
func everything(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: make(net.IP, a.BitLen()/8), Mask: net.CIDRMask(0, a.BitLen())}
}
