// SPDX-License-Identifier: Apache-2.0

package device

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Gateway returns the gateway of a worker's subnet: its first address after the network's own. The zero Addr means that the
// subnet is too small to have one.
func Gateway(subnet netip.Prefix) netip.Addr {
	if !subnet.IsValid() || subnet.Addr().BitLen()-subnet.Bits() < 2 {
		return netip.Addr{}
	}
	return subnet.Masked().Addr().Next()
}

// EnsureHost makes the host's own pair and gives it the gateway address, and no other. It returns the index of Host's far
// end, which is where programs deliver to the host.
func EnsureHost(gateway netip.Addr, mtu int) (far int, err error) {
	if !gateway.Is4() {
		return 0, fmt.Errorf("give %s the gateway address %s: not an IPv4 address", Host, gateway)
	}
	host, farLink, err := ensurePair(Host, HostFar, mtu)
	if err != nil {
		return 0, err
	}
	if err := EnableForwarding(Host); err != nil {
		return 0, err
	}
	if err := LooseReversePath(Host); err != nil {
		return 0, err
	}
	return farLink.Attrs().Index, ensureOnlyAddress(host, gateway)
}

// ensureOnlyAddress adds the wanted address before it removes others, so that the host is never without.
func ensureOnlyAddress(l netlink.Link, want netip.Addr) error {
	name := l.Attrs().Name
	have, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", name, err)
	}
	found := false
	var others []netlink.Addr
	for _, a := range have {
		ip, _ := netip.AddrFromSlice(a.IP.To4())
		if ones, _ := a.Mask.Size(); ip == want && ones == 32 {
			found = true
		} else {
			others = append(others, a)
		}
	}
	if !found {
		if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: hostNet(want)}); err != nil {
			return fmt.Errorf("give %s the address %s: %w", name, want, err)
		}
	}
	for i := range others {
		if err := netlink.AddrDel(l, &others[i]); err != nil {
			return fmt.Errorf("take the address %s from %s: %w", others[i].IPNet, name, err)
		}
	}
	return nil
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}
