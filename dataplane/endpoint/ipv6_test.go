// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"context"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// TestIPv6ComesLater attaches while the worker has no IPv6, as an earlier build did, and then gives it some.
func TestIPv6ComesLater(t *testing.T) {
	w := newWorker(t)
	n := network()
	n.GatewayIPv6 = netip.Addr{}
	require.NoError(t, w.Configure(n))
	path := netnstest.NewBound(t, "a")
	got, err := w.Attach(context.Background(), request(0, 1, path))
	require.NoError(t, err)
	require.False(t, got.NamespaceIPv6.IsValid())

	before := w.changes
	require.NoError(t, w.Configure(network()))
	require.Equal(t, before+1, w.changes, "the cluster has to know the address")
	got.NamespaceIPv6 = netip.MustParseAddr("fc00::2")
	requireOneEndpoint(t, w, got)
	require.NoError(t, w.Configure(network()))
	require.Equal(t, before+1, w.changes)
	w.restart(t)
	requireOneEndpoint(t, w, got)

	host, err := netlink.LinkByName(got.Interface)
	require.NoError(t, err)
	require.Contains(t, routesTo(t, &netlink.Handle{}, host, v6), "fc00::2/128")
	ns, err := openNamespace(path)
	require.NoError(t, err)
	defer ns.close()
	h, err := netlink.NewHandleAt(ns.handle, unix.NETLINK_ROUTE)
	require.NoError(t, err)
	defer h.Close()
	inner, err := h.LinkByName(innerName)
	require.NoError(t, err)
	require.Contains(t, routesTo(t, h, inner, v6), "::/0 by fc00::1")
}

// TestIPv6GoesAway is what a worker does whose uplink's MTU has fallen below what IPv6 takes.
func TestIPv6GoesAway(t *testing.T) {
	w := newWorker(t)
	path := netnstest.NewBound(t, "a")
	got, err := w.Attach(context.Background(), request(0, 1, path))
	require.NoError(t, err)
	n := network()
	n.GatewayIPv6, n.MTU = netip.Addr{}, 1000
	require.NoError(t, w.Configure(n))
	requireOneEndpoint(t, w, got)
	host, err := netlink.LinkByName(got.Interface)
	require.NoError(t, err)
	require.Equal(t, 1000, host.Attrs().MTU)

	require.NoError(t, w.Configure(network()))
	ns, err := openNamespace(path)
	require.NoError(t, err)
	defer ns.close()
	h, err := netlink.NewHandleAt(ns.handle, unix.NETLINK_ROUTE)
	require.NoError(t, err)
	defer h.Close()
	inner, err := h.LinkByName(innerName)
	require.NoError(t, err)
	requireInside(t, h, ns, inner, got, host.Attrs().HardwareAddr)
}

// TestDevicesAreSilent looks for what keeps both ends from joining groups, and so from telling the other end of it.
func TestDevicesAreSilent(t *testing.T) {
	w := newWorker(t)
	path := netnstest.NewBound(t, "a")
	got, err := w.Attach(context.Background(), request(0, 1, path))
	require.NoError(t, err)
	host, err := netlink.LinkByName(got.Interface)
	require.NoError(t, err)
	require.NotZero(t, host.Attrs().RawFlags&unix.IFF_NOARP)
	ns, err := openNamespace(path)
	require.NoError(t, err)
	defer ns.close()
	inner, err := ns.inner(host)
	require.NoError(t, err)
	require.NotZero(t, inner.Attrs().RawFlags&unix.IFF_NOARP)
}

// TestMoveToAnotherNamespaceFreesBothAddresses checks that no address is lost or given twice.
func TestMoveToAnotherNamespaceFreesBothAddresses(t *testing.T) {
	w := newWorker(t)
	first, err := w.Attach(context.Background(), request(0, 1, netnstest.NewBound(t, "a")))
	require.NoError(t, err)
	second, err := w.Attach(context.Background(), request(0, 2, netnstest.NewBound(t, "b")))
	require.NoError(t, err)
	require.NotEqual(t, first.NamespaceIPv6, second.NamespaceIPv6)
	var resting []netip.Addr
	for _, f := range w.freed {
		resting = append(resting, f.Address)
	}
	require.ElementsMatch(t, []netip.Addr{first.NamespaceIP, first.NamespaceIPv6}, resting)
	_, there, err := w.maps.Local.Lookup(bpf.AddrFrom(first.NamespaceIPv6))
	require.NoError(t, err)
	require.False(t, there)
}
