// SPDX-License-Identifier: Apache-2.0

package device

import (
	"net"
	"net/netip"
	"testing"

	"github.com/safchain/ethtool"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

func own(v4, v6 string) (out HostAddresses) {
	out.IPv4 = netip.MustParseAddr(v4)
	if v6 != "" {
		out.IPv6 = netip.MustParseAddr(v6)
	}
	return out
}

func TestHostHasTheGatewayAddressesAndNoOthers(t *testing.T) {
	netnstest.Enter(t)
	pair, err := EnsureHost(own("10.18.0.1", "fc00::1"), 1444)
	require.NoError(t, err)
	requireAddresses(t, Host, "10.18.0.1/32", "fc00::1/128")
	again, err := EnsureHost(own("10.18.0.65", "fc00::101"), 1400)
	require.NoError(t, err)
	require.Equal(t, pair, again)
	requireAddresses(t, Host, "10.18.0.65/32", "fc00::101/128")
	requireAddresses(t, HostFar)
	requireNoIPv6(t, HostFar)
	for _, name := range []string{Host, HostFar} {
		l, err := netlink.LinkByName(name)
		require.NoError(t, err)
		require.Equal(t, 1400, l.Attrs().MTU)
		require.NotZero(t, l.Attrs().Flags&net.FlagUp)
		require.NotZero(t, l.Attrs().RawFlags&unix.IFF_NOARP)
		mac := pair.MAC
		if name == HostFar {
			mac = pair.FarMAC
			require.Equal(t, l.Attrs().Index, pair.Far)
		}
		require.Equal(t, l.Attrs().HardwareAddr, net.HardwareAddr(mac[:]))
	}
	e, err := ethtool.NewEthtool()
	require.NoError(t, err)
	defer e.Close()
	features, err := e.Features(Host)
	require.NoError(t, err)
	require.False(t, features[UDPSegmentation])

	_, err = EnsureHost(own("10.18.0.65", ""), 1400)
	require.NoError(t, err)
	requireAddresses(t, Host, "10.18.0.65/32")
	requireNoIPv6(t, Host)
	_, err = EnsureHost(HostAddresses{IPv4: netip.MustParseAddr("fc00::1")}, 1444)
	require.ErrorContains(t, err, "not an IPv4 address")
}

// routesOf lists the destinations of Host's routes by a next hop, with their source.
func routesOf(t *testing.T, family int) (out []string) {
	t.Helper()
	l, err := netlink.LinkByName(Host)
	require.NoError(t, err)
	routes, err := netlink.RouteList(l, family)
	require.NoError(t, err)
	for _, r := range routes {
		if r.Gw != nil {
			out = append(out, r.Dst.String()+" by "+r.Gw.String()+" from "+r.Src.String())
		}
	}
	return out
}

func TestServiceAddressesAreRoutedToHost(t *testing.T) {
	netnstest.Enter(t)
	services := []netip.Prefix{netip.MustParsePrefix("10.30.0.0/16"), netip.MustParsePrefix("fdff::/16")}
	addrs := own("10.18.0.1", "fc00::1")
	_, err := EnsureHost(addrs, 1444)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, RouteServices(addrs, services...))
		require.Equal(t, []string{"10.30.0.0/16 by 169.254.1.1 from 10.18.0.1"}, routesOf(t, netlink.FAMILY_V4))
		require.Equal(t, []string{"fdff::/16 by fe80::1 from fc00::1"}, routesOf(t, netlink.FAMILY_V6))
	}
	far, err := netlink.LinkByName(HostFar)
	require.NoError(t, err)
	for _, to := range []string{"10.30.1.2", "fdff:2000::7"} {
		found, err := netlink.RouteGet(net.ParseIP(to))
		require.NoError(t, err)
		require.Len(t, found, 1)
		list, err := netlink.NeighList(found[0].LinkIndex, netlink.FAMILY_ALL)
		require.NoError(t, err)
		reached := false
		for _, n := range list {
			reached = reached || n.IP.Equal(found[0].Gw) && n.HardwareAddr.String() == far.Attrs().HardwareAddr.String() && n.State == netlink.NUD_PERMANENT
		}
		require.True(t, reached, "the way to %s leads to the far end", to)
	}

	// Another subnet of the worker, and larger ranges.
	moved := own("10.18.0.65", "fc00::101")
	_, err = EnsureHost(moved, 1444)
	require.NoError(t, err)
	require.NoError(t, RouteServices(moved, netip.MustParsePrefix("10.30.0.0/15"), services[1]))
	require.Equal(t, []string{"10.30.0.0/15 by 169.254.1.1 from 10.18.0.65"}, routesOf(t, netlink.FAMILY_V4))
	require.Equal(t, []string{"fdff::/16 by fe80::1 from fc00::101"}, routesOf(t, netlink.FAMILY_V6))

	// Without IPv6 there is no route that leads nowhere.
	alone := own("10.18.0.65", "")
	_, err = EnsureHost(alone, 1444)
	require.NoError(t, err)
	require.NoError(t, RouteServices(alone, services...))
	require.Empty(t, routesOf(t, netlink.FAMILY_V6))
	require.Equal(t, []string{"10.30.0.0/16 by 169.254.1.1 from 10.18.0.65"}, routesOf(t, netlink.FAMILY_V4))
}
