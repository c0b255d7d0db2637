// SPDX-License-Identifier: Apache-2.0

package device

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Gateway returns the gateway of a worker's subnet: its first address after the network's own. The zero Addr means that the
// subnet is too small to have one.
func Gateway(subnet netip.Prefix) netip.Addr {
	if !subnet.IsValid() || subnet.Addr().BitLen()-subnet.Bits() < 2 {
		return netip.Addr{}
	}
	return subnet.Masked().Addr().Next()
}

// HostAddresses are the worker's gateway addresses, as which the host itself appears inside the overlay.
type HostAddresses struct {
	IPv4 netip.Addr
	// IPv6 is not valid where the worker has none.
	IPv6 netip.Addr
}

// HostPair is the host's own pair, as programs need to know it.
type HostPair struct {
	// Far is the index of the end where the host's packets come out, and where programs deliver to the host.
	Far int
	// MAC is the hardware address of Host, FarMAC that of the far end.
	MAC, FarMAC [6]byte
}

// EnsureHost makes the host's own pair and gives it the gateway addresses, and no others.
func EnsureHost(addrs HostAddresses, mtu int) (HostPair, error) {
	if !addrs.IPv4.Is4() {
		return HostPair{}, fmt.Errorf("give %s the gateway address %s: not an IPv4 address", Host, addrs.IPv4)
	}
	host, farLink, err := ensurePair(Host, HostFar, mtu)
	if err != nil {
		return HostPair{}, err
	}
	if err := DisableIPv6(HostFar); err != nil {
		return HostPair{}, err
	}
	speak := DisableIPv6
	if addrs.IPv6.IsValid() {
		speak = QuietIPv6
	}
	for _, settle := range []func(string) error{speak, EnableForwarding, LooseReversePath, DisableUDPSegmentation} {
		if err := settle(Host); err != nil {
			return HostPair{}, err
		}
	}
	for _, l := range []netlink.Link{host, farLink} {
		if err := setUp(l); err != nil {
			return HostPair{}, err
		}
	}
	if err := ensureOnlyAddress(host, netlink.FAMILY_V4, addrs.IPv4); err != nil {
		return HostPair{}, err
	}
	if err := ensureOnlyAddress(host, netlink.FAMILY_V6, addrs.IPv6); err != nil {
		return HostPair{}, err
	}
	pair := HostPair{Far: farLink.Attrs().Index}
	copy(pair.MAC[:], host.Attrs().HardwareAddr)
	copy(pair.FarMAC[:], farLink.Attrs().HardwareAddr)
	return pair, nil
}

// ensureOnlyAddress adds the wanted address before it removes others, so that the host is never without.
func ensureOnlyAddress(l netlink.Link, family int, want netip.Addr) error {
	name := l.Attrs().Name
	have, err := netlink.AddrList(l, family)
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", name, err)
	}
	found := !want.IsValid()
	var others []netlink.Addr
	for _, a := range have {
		ip, _ := netip.AddrFromSlice(a.IP)
		if ones, bits := a.Mask.Size(); ip.Unmap() == want && ones == bits {
			found = true
		} else {
			others = append(others, a)
		}
	}
	if !found {
		addr := &netlink.Addr{IPNet: hostNet(want)}
		if want.Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(l, addr); err != nil {
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

func hostNet(a netip.Addr) *net.IPNet { return netOf(netip.PrefixFrom(a, a.BitLen())) }

func netOf(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
