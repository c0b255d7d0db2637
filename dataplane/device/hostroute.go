// SPDX-License-Identifier: Apache-2.0

package device

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// The next hops of service addresses. They are in no packet: they stand for the far end of Host, so that one neighbour is enough for
// all service addresses.
var (
	nextHopIPv4 = netip.MustParseAddr("169.254.1.1")
	nextHopIPv6 = netip.MustParseAddr("fe80::1")
)

// RouteServices has the host send what it has for the ranges of service addresses out of Host, under the gateway's address of the same
// family, and takes routes of other ranges away. Host's far end has to carry its program by then. Ranges of a family that the host
// has no gateway address of are left out.
func RouteServices(addrs HostAddresses, ranges ...netip.Prefix) error {
	host, err := netlink.LinkByName(Host)
	if err != nil {
		return fmt.Errorf("find %s: %w", Host, err)
	}
	far, err := netlink.LinkByName(HostFar)
	if err != nil {
		return fmt.Errorf("find %s: %w", HostFar, err)
	}
	for _, side := range []struct {
		family       int
		nextHop, own netip.Addr
	}{
		{netlink.FAMILY_V4, nextHopIPv4, addrs.IPv4},
		{netlink.FAMILY_V6, nextHopIPv6, addrs.IPv6},
	} {
		var want []netip.Prefix
		for _, p := range ranges {
			if side.own.IsValid() && p.IsValid() && p.Addr().Is4() == side.own.Is4() {
				want = append(want, p.Masked())
			}
		}
		if len(want) > 0 {
			if err := ensureNextHop(host, side.family, side.nextHop, far.Attrs().HardwareAddr); err != nil {
				return err
			}
		}
		if err := ensureOnlyRoutes(host, side.family, side.nextHop, side.own, want); err != nil {
			return err
		}
	}
	return nil
}

func ensureNextHop(l netlink.Link, family int, ip netip.Addr, mac net.HardwareAddr) error {
	have, err := netlink.NeighList(l.Attrs().Index, family)
	if err != nil {
		return fmt.Errorf("list neighbours of %s: %w", Host, err)
	}
	for _, n := range have {
		if n.IP.Equal(ip.AsSlice()) && bytes.Equal(n.HardwareAddr, mac) && n.State == netlink.NUD_PERMANENT {
			return nil
		}
	}
	err = netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, Family: family, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: mac,
	})
	if err != nil {
		return fmt.Errorf("set the neighbour %s of %s: %w", ip, Host, err)
	}
	return nil
}

// ensureOnlyRoutes adds the wanted routes by the next hop before it removes others.
func ensureOnlyRoutes(l netlink.Link, family int, nextHop, source netip.Addr, want []netip.Prefix) error {
	have, err := netlink.RouteList(l, family)
	if err != nil {
		return fmt.Errorf("list routes of %s: %w", Host, err)
	}
	missing := make(map[string]netip.Prefix, len(want))
	for _, p := range want {
		missing[p.String()] = p
	}
	var others []netlink.Route
	for _, r := range have {
		if r.Dst == nil || !r.Gw.Equal(nextHop.AsSlice()) {
			continue
		}
		p, wanted := missing[r.Dst.String()]
		switch {
		case !wanted:
			others = append(others, r)
		case r.Src.Equal(source.AsSlice()):
			delete(missing, p.String())
		}
	}
	for _, p := range missing {
		route := &netlink.Route{
			LinkIndex: l.Attrs().Index, Dst: netOf(p), Gw: nextHop.AsSlice(), Src: source.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("route service addresses %s to %s: %w", p, Host, err)
		}
	}
	for i := range others {
		if err := netlink.RouteDel(&others[i]); err != nil {
			return fmt.Errorf("remove the route %s of %s: %w", others[i].Dst, Host, err)
		}
	}
	return nil
}
