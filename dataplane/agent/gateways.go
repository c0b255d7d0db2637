// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
)

func isV4(p netip.Prefix) bool { return p.IsValid() && p.Addr().Is4() }

func isV6(p netip.Prefix) bool { return p.IsValid() && p.Addr().Is6() && !p.Addr().Is4In6() }

func firstV4(list []netip.Prefix) (netip.Prefix, bool) { return first(list, isV4) }

func first(list []netip.Prefix, is func(netip.Prefix) bool) (netip.Prefix, bool) {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i], true
	}
	return netip.Prefix{}, false
}

// gateways are the worker's own addresses inside the overlay, mtu being the least of the ways to peers. That of IPv6 is missing where [noIPv6] says why.
func gateways(n wire.NetNode, mtu int) (device.HostAddresses, error) {
	subnet, ok := firstV4(n.Subnets)
	if !ok {
		return device.HostAddresses{}, errors.New("no IPv4 subnet")
	}
	out := device.HostAddresses{IPv4: device.Gateway(subnet)}
	if noIPv6(n, mtu) == "" {
		subnet, _ = first(n.Subnets, isV6)
		out.IPv6 = device.Gateway(subnet)
	}
	return out, nil
}

// noIPv6 says why this worker's containers cannot have IPv6; empty if they can. Everything else goes on without it.
func noIPv6(n wire.NetNode, mtu int) string {
	subnet, ok := first(n.Subnets, isV6)
	switch {
	case !ok || !isV6(n.Ranges.ServicesV6) || !isV6(n.Ranges.WorkersV6):
		return "the cluster has leased this worker no IPv6 subnet"
	case !n.Ranges.WorkersV6.Contains(subnet.Addr()) || !device.Gateway(subnet).IsValid():
		return fmt.Sprintf("the leased subnet %s is none of the range %s, or too small to have a gateway", subnet, n.Ranges.WorkersV6)
	case !device.HasIPv6():
		return "the kernel does not speak it: boot it without ipv6.disable=1"
	case mtu < device.MinMTUIPv6:
		return fmt.Sprintf("their MTU could be as little as %d, and IPv6 needs %d: raise the uplink's to %d", mtu, device.MinMTUIPv6, device.MinMTUIPv6+device.Overhead)
	}
	return ""
}
