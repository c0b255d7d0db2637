// SPDX-License-Identifier: Apache-2.0

package device

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// localWithin is how long the kernel may take to make an IPv6 address usable that needs no duplicate address detection. It does so in a
// worker thread of its own, some milliseconds after the address was added and the link has come up.
const localWithin = 2 * time.Second

// AwaitLocal returns once packets to ip are taken in the network namespace of h: until then the kernel drops them. IPv4 addresses are usable
// at once.
func AwaitLocal(h *netlink.Handle, ip netip.Addr) error {
	if ip.Is4() {
		return nil
	}
	want := &netlink.Route{
		Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL,
		Dst: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(ip.BitLen(), ip.BitLen())},
	}
	for deadline := time.Now().Add(localWithin); ; time.Sleep(time.Millisecond) {
		have, err := h.RouteListFiltered(unix.AF_INET6, want, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_DST|netlink.RT_FILTER_TYPE)
		if err != nil {
			return fmt.Errorf("look for the local route of %s: %w", ip, err)
		}
		if len(have) > 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the kernel has not made %s usable within %s: is IPv6 switched off on its interface?", ip, localWithin)
		}
	}
}
