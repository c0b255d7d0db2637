// SPDX-License-Identifier: Apache-2.0

package device

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

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
	a.Flags = unix.IFA_F_NODAD // of no meaning to IPv4
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
	require.Equal(t, 1464, u.InnerMTU(false))
	require.Equal(t, 1444, u.InnerMTU(true))

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
	require.False(t, u.AddrIPv6.IsValid(), "a link-local address leads to nobody")
	_, err = FindUplink("nosuch")
	require.ErrorContains(t, err, "nosuch")
}

func TestUplinkOfIPv6(t *testing.T) {
	netnstest.Enter(t)
	l := addVeth(t, "ua", "2001:db8::2/64")
	u, err := FindUplink("")
	require.NoError(t, err, "an underlay may be of IPv6 alone")
	require.Equal(t, Uplink{Index: l.Attrs().Index, Name: "ua", AddrIPv6: netip.MustParseAddr("2001:db8::2"), MTU: 1500}, u)
	require.Equal(t, 1444, u.InnerMTU(false), "there is no other way than IPv6's")

	// Addresses that pass are not told to others.
	for _, flags := range []int{unix.IFA_F_DEPRECATED, 0} {
		addr := &netlink.Addr{IPNet: netOf(netip.MustParsePrefix("2001:db8::3/64")), Flags: unix.IFA_F_NODAD}
		addr.IPNet.IP = net.ParseIP("2001:db8::3")
		addr.ValidLft = 1000
		if flags == 0 {
			addr.PreferedLft = 1000
		}
		require.NoError(t, netlink.AddrReplace(l, addr))
		if flags != 0 {
			old, err := netlink.ParseAddr("2001:db8::2/64")
			require.NoError(t, err)
			require.NoError(t, netlink.AddrDel(l, old))
			_, err = FindUplink("")
			require.ErrorContains(t, err, "no device", "its only address is deprecated")
		}
	}
	u, err = FindUplink("")
	require.NoError(t, err)
	require.Equal(t, netip.MustParseAddr("2001:db8::3"), u.AddrIPv6)

	other := addVeth(t, "ub", "198.51.100.2/24")
	require.NoError(t, netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: netOf(netip.MustParsePrefix("::/0")), Gw: net.ParseIP("2001:db8::1")}))
	u, err = FindUplink("")
	require.NoError(t, err)
	require.Equal(t, "ua", u.Name, "there is no default route of IPv4")
	require.NoError(t, netlink.RouteAdd(&netlink.Route{LinkIndex: other.Attrs().Index, Dst: netOf(netip.MustParsePrefix("0.0.0.0/0")), Gw: net.ParseIP("198.51.100.1")}))
	u, err = FindUplink("")
	require.NoError(t, err)
	require.Equal(t, "ub", u.Name)
}

// A device without Ethernet headers would have the programs read addresses where none are, and let tunnel packets pass.
func TestUplinkHasToBeEthernet(t *testing.T) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index, attrs.EncapType = "wg0", 1, "none"
	_, err := describe(&netlink.GenericLink{LinkAttrs: attrs, LinkType: "wireguard"})
	require.ErrorContains(t, err, "Ethernet")
}
