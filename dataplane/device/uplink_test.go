// SPDX-License-Identifier: Apache-2.0

package device

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

func addVeth(t *testing.T, name, addr string) netlink.Link {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + "x"}))
	l, err := netlink.LinkByName(name)
	require.NoError(t, err)
	require.NoError(t, netlink.LinkSetUp(l))
	far, err := netlink.LinkByName(name + "x")
	require.NoError(t, err)
	require.NoError(t, netlink.LinkSetUp(far))
	a, err := netlink.ParseAddr(addr)
	require.NoError(t, err)
	require.NoError(t, netlink.AddrAdd(l, a))
	return l
}

func TestUplinkIsFound(t *testing.T) {
	netnstest.Enter(t)
	_, err := FindUplink("")
	require.ErrorContains(t, err, "--uplink")

	addVeth(t, "ua", "192.0.2.2/24")
	u, err := FindUplink("")
	require.NoError(t, err)
	require.Equal(t, "ua", u.Name)
	require.Equal(t, netip.MustParseAddr("192.0.2.2"), u.Addr)
	require.Equal(t, 1444, u.InnerMTU())

	b := addVeth(t, "ub", "198.51.100.2/24")
	_, err = FindUplink("")
	require.ErrorContains(t, err, "several")

	_, all, err := net.ParseCIDR("0.0.0.0/0")
	require.NoError(t, err)
	require.NoError(t, netlink.RouteAdd(&netlink.Route{LinkIndex: b.Attrs().Index, Dst: all, Gw: net.ParseIP("198.51.100.1")}))
	u, err = FindUplink("")
	require.NoError(t, err)
	require.Equal(t, "ub", u.Name)

	u, err = FindUplink("ua")
	require.NoError(t, err)
	require.Equal(t, "ua", u.Name)
	_, err = FindUplink("nosuch")
	require.ErrorContains(t, err, "nosuch")
}

// A device without Ethernet headers would have the programs read addresses where none are, and let tunnel packets pass.
func TestUplinkHasToBeEthernet(t *testing.T) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index, attrs.EncapType = "wg0", 1, "none"
	_, err := describe(&netlink.GenericLink{LinkAttrs: attrs, LinkType: "wireguard"})
	require.ErrorContains(t, err, "Ethernet")
}
