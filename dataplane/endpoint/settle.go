// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"bytes"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The functions of this file change nothing that is right already. A zero handle works on the calling thread's namespace.

func setMTUAndUp(h *netlink.Handle, l netlink.Link, mtu int) error {
	name := l.Attrs().Name
	if l.Attrs().MTU != mtu {
		if err := h.LinkSetMTU(l, mtu); err != nil {
			return fmt.Errorf("set the MTU of %s to %d: %w", name, mtu, err)
		}
	}
	if l.Attrs().Flags&net.FlagUp == 0 {
		if err := h.LinkSetUp(l); err != nil {
			return fmt.Errorf("set %s up: %w", name, err)
		}
	}
	return nil
}

// ensureNeighbour makes a permanent entry, so that neither side ever asks by ARP.
func ensureNeighbour(h *netlink.Handle, ifindex int, ip net.IP, mac net.HardwareAddr) error {
	have, err := h.NeighList(ifindex, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list neighbours: %w", err)
	}
	for _, n := range have {
		if n.IP.Equal(ip) && bytes.Equal(n.HardwareAddr, mac) && n.State == netlink.NUD_PERMANENT {
			return nil
		}
	}
	err = h.NeighSet(&netlink.Neigh{
		LinkIndex: ifindex, Family: unix.AF_INET, State: netlink.NUD_PERMANENT, Type: unix.RTN_UNICAST, IP: ip, HardwareAddr: mac,
	})
	if err != nil {
		return fmt.Errorf("set neighbour %s at %s: %w", ip, mac, err)
	}
	return nil
}

func ensureRoute(h *netlink.Handle, want netlink.Route) error {
	have, err := h.RouteListFiltered(netlink.FAMILY_V4, &want, netlink.RT_FILTER_OIF|netlink.RT_FILTER_DST)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, r := range have {
		if r.Gw.Equal(want.Gw) && r.Scope == want.Scope {
			return nil
		}
	}
	if err := h.RouteReplace(&want); err != nil {
		return fmt.Errorf("set route %s: %w", want, err)
	}
	return nil
}

func ensureAddress(h *netlink.Handle, l netlink.Link, ip net.IP) error {
	have, err := h.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", l.Attrs().Name, err)
	}
	for _, a := range have {
		if a.IP.Equal(ip) {
			return nil
		}
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(32, 32)}}
	if err := h.AddrAdd(l, addr); err != nil {
		return fmt.Errorf("give %s the address %s: %w", l.Attrs().Name, ip, err)
	}
	return nil
}
