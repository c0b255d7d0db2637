// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The functions of this file change nothing that is right already. A zero handle works on the calling thread's namespace.

func setMTU(h *netlink.Handle, l netlink.Link, mtu int) error {
	if l.Attrs().MTU != mtu {
		if err := h.LinkSetMTU(l, mtu); err != nil {
			return fmt.Errorf("set the MTU of %s to %d: %w", l.Attrs().Name, mtu, err)
		}
	}
	return nil
}

func setUp(h *netlink.Handle, l netlink.Link) error {
	if l.Attrs().Flags&net.FlagUp == 0 {
		if err := h.LinkSetUp(l); err != nil {
			return fmt.Errorf("set %s up: %w", l.Attrs().Name, err)
		}
	}
	return nil
}

// silence makes a device that was never up one that neither asks for neighbours nor tells of itself: all that it has to know of them is
// entered. Without that, IPv6 would join groups and say so. One that is up is left as it is, since the kernel forgets all
// neighbours at such a change.
func silence(h *netlink.Handle, l netlink.Link) error {
	if l.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	if err := h.LinkSetARPOff(l); err != nil {
		return fmt.Errorf("turn neighbour discovery of %s off: %w", l.Attrs().Name, err)
	}
	return nil
}

// ensureNeighbour makes a permanent entry, so that neither side ever asks by ARP or neighbour discovery.
func ensureNeighbour(h *netlink.Handle, ifindex int, ip netip.Addr, mac net.HardwareAddr) error {
	have, err := h.NeighList(ifindex, int(familyOf(ip)))
	if err != nil {
		return fmt.Errorf("list neighbours: %w", err)
	}
	for _, n := range have {
		if n.IP.Equal(ip.AsSlice()) && bytes.Equal(n.HardwareAddr, mac) && n.State == netlink.NUD_PERMANENT {
			return nil
		}
	}
	err = h.NeighSet(&netlink.Neigh{
		LinkIndex: ifindex, Family: int(familyOf(ip)), State: netlink.NUD_PERMANENT, Type: unix.RTN_UNICAST, IP: ip.AsSlice(), HardwareAddr: mac,
	})
	if err != nil {
		return fmt.Errorf("set neighbour %s at %s: %w", ip, mac, err)
	}
	return nil
}

func ensureRoute(h *netlink.Handle, f family, want netlink.Route) error {
	have, err := h.RouteListFiltered(int(f), &want, netlink.RT_FILTER_OIF|netlink.RT_FILTER_DST)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, r := range have {
		if r.Gw.Equal(want.Gw) && r.Scope == want.Scope && r.Src.Equal(want.Src) {
			return nil
		}
	}
	if err := h.RouteReplace(&want); err != nil {
		return fmt.Errorf("set route %s: %w", want, err)
	}
	return nil
}

func ensureAddress(h *netlink.Handle, l netlink.Link, ip netip.Addr) error {
	have, err := h.AddrList(l, int(familyOf(ip)))
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", l.Attrs().Name, err)
	}
	for _, a := range have {
		if a.IP.Equal(ip.AsSlice()) {
			return nil
		}
	}
	addr := &netlink.Addr{IPNet: host(ip)}
	if ip.Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := h.AddrAdd(l, addr); err != nil {
		return fmt.Errorf("give %s the address %s: %w", l.Attrs().Name, ip, err)
	}
	return nil
}
