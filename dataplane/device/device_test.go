// SPDX-License-Identifier: Apache-2.0

package device

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

func TestUpcallPairIsMadeOnce(t *testing.T) {
	netnstest.Enter(t)
	a0, a1, err := EnsureUpcall()
	require.NoError(t, err)
	b0, b1, err := EnsureUpcall()
	require.NoError(t, err)
	require.Equal(t, []int{a0, a1}, []int{b0, b1}, "a second call changes nothing")
	for _, name := range []string{Upcall0, Upcall1} {
		l, err := netlink.LinkByName(name)
		require.NoError(t, err)
		require.NotZero(t, l.Attrs().Flags&net.FlagUp)
		require.Equal(t, upcallMTU, l.Attrs().MTU)
		requireNoIPv6(t, name)
		requireAddresses(t, name)
	}
}

func TestForeignDeviceOfTheNameIsReplaced(t *testing.T) {
	netnstest.Enter(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = Upcall0
	require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "other"}))
	_, _, err := EnsureUpcall()
	require.NoError(t, err)
	_, err = netlink.LinkByName("other")
	require.Error(t, err)
}

func TestTunnelIsExternalGPEAndLeftDown(t *testing.T) {
	netnstest.Enter(t)
	first, err := EnsureTunnel(50103)
	require.NoError(t, err)
	l, err := netlink.LinkByName(Tunnel)
	require.NoError(t, err)
	require.Zero(t, l.Attrs().Flags&net.FlagUp, "a new device stays down until its program is attached")
	require.True(t, l.(*netlink.Vxlan).FlowBased)
	require.False(t, l.(*netlink.Vxlan).Learning)
	require.NoError(t, SetUp(first))
	requireNoIPv6(t, Tunnel)
	requireAddresses(t, Tunnel)

	again, err := EnsureTunnel(50103)
	require.NoError(t, err)
	require.Equal(t, first, again)
	l, err = netlink.LinkByName(Tunnel)
	require.NoError(t, err)
	require.NotZero(t, l.Attrs().Flags&net.FlagUp)

	moved, err := EnsureTunnel(50104)
	require.NoError(t, err)
	require.NotEqual(t, first, moved)
	require.NoError(t, SetUp(moved))
	for _, network := range []string{"udp4", "udp6"} {
		_, err = net.ListenUDP(network, &net.UDPAddr{Port: 50104})
		require.Error(t, err, "the device holds the port, for its socket's GRO in both families")
	}
}

func TestTunnelPortOfAnotherIsNamed(t *testing.T) {
	netnstest.Enter(t)
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{Port: 50105})
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	index, err := EnsureTunnel(50105)
	if err == nil {
		err = SetUp(index)
	}
	require.ErrorContains(t, err, "UDP port 50105")
}

func TestTunnelWithoutGPEIsReplaced(t *testing.T) {
	netnstest.Enter(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = Tunnel
	require.NoError(t, netlink.LinkAdd(&netlink.Vxlan{LinkAttrs: attrs, FlowBased: true, Port: 50103}))
	l, err := netlink.LinkByName(Tunnel)
	require.NoError(t, err)
	right, err := isTunnel(l, 50103)
	require.NoError(t, err)
	require.False(t, right)
	made, err := EnsureTunnel(50103)
	require.NoError(t, err)
	require.NotEqual(t, l.Attrs().Index, made)
}

func TestGateway(t *testing.T) {
	for subnet, want := range map[string]string{
		"10.18.0.0/26":  "10.18.0.1",
		"10.18.0.77/26": "10.18.0.65",
		"fc00::/120":    "fc00::1",
	} {
		require.Equal(t, netip.MustParseAddr(want), Gateway(netip.MustParsePrefix(subnet)))
	}
	require.False(t, Gateway(netip.Prefix{}).IsValid())
	require.False(t, Gateway(netip.MustParsePrefix("10.18.0.0/31")).IsValid())
}

func FuzzAttributes(f *testing.F) {
	f.Add([]byte{8, 0, 1, 0, 'a', 'b', 'c', 0})
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = nested(b, 1, 2) })
}

func requireNoIPv6(t *testing.T, name string) {
	t.Helper()
	v, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6")
	if os.IsNotExist(err) {
		return
	}
	require.NoError(t, err)
	require.Equal(t, "1\n", string(v))
}

func requireAddresses(t *testing.T, name string, want ...string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	require.NoError(t, err)
	list, err := netlink.AddrList(l, netlink.FAMILY_ALL)
	require.NoError(t, err)
	var have []string
	for _, a := range list {
		have = append(have, a.IPNet.String())
	}
	require.ElementsMatch(t, want, have)
}
