// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"context"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// attachHost does what NetManager does at its start and every few seconds.
func (w *worker) attachHost(t *testing.T, v4, v6 string) device.HostPair {
	t.Helper()
	addrs := device.HostAddresses{IPv4: netip.MustParseAddr(v4), IPv6: netip.MustParseAddr(v6)}
	pair, err := device.EnsureHost(addrs, 1444)
	require.NoError(t, err)
	require.NoError(t, w.AttachHost(pair, addrs))
	return pair
}

// hostEntry returns the host as programs see it, found by an address.
func (w *worker) hostEntry(t *testing.T, addr string) (e bpf.Endpoint, found bool) {
	t.Helper()
	at, ok, err := w.maps.Local.Lookup(bpf.AddrFrom(netip.MustParseAddr(addr)))
	require.NoError(t, err)
	if !ok {
		return e, false
	}
	e, ok, err = w.maps.Endpoints.Lookup(at)
	require.NoError(t, err)
	require.True(t, ok)
	return e, true
}

func TestTheHostIsAnEndpoint(t *testing.T) {
	w := newWorker(t)
	pair := w.attachHost(t, "10.18.0.1", "fc00::1")
	require.Contains(t, w.kernel.attached, pair.Far)
	for _, addr := range []string{"10.18.0.1", "fc00::1"} {
		e, found := w.hostEntry(t, addr)
		require.True(t, found)
		require.Equal(t, bpf.EndpointHost, e.Flags)
		require.Equal(t, e.Ns, e.Inst, "it is called, and calls, under one address")
		require.Equal(t, "10.18.0.1", e.Ns[bpf.V4].String())
		require.Equal(t, "fc00::1", e.Ns[bpf.V6].String())
		require.Equal(t, pair.MAC, e.Mac)
		require.NotZero(t, e.Tag, "a tag of 0 would be guessed")
	}
	require.Empty(t, w.List(), "it is no instance")

	before, _ := w.hostEntry(t, "10.18.0.1")
	w.attachHost(t, "10.18.0.1", "fc00::1")
	after, _ := w.hostEntry(t, "10.18.0.1")
	require.Equal(t, before, after)
	require.Empty(t, w.kernel.purged)

	// Another subnet of the worker.
	w.attachHost(t, "10.18.0.65", "fc00::1")
	_, found := w.hostEntry(t, "10.18.0.1")
	require.False(t, found)
	_, found = w.hostEntry(t, "10.18.0.65")
	require.True(t, found)
	require.Equal(t, []netip.Addr{netip.MustParseAddr("10.18.0.1")}, w.kernel.purged)
}

// TestTheHostsFlowsOutliveARestart: nothing of it is taken away between the start and the configuration.
func TestTheHostsFlowsOutliveARestart(t *testing.T) {
	w := newWorker(t)
	w.attachHost(t, "10.18.0.1", "fc00::1")
	before, _ := w.hostEntry(t, "fc00::1")
	_, err := w.Attach(context.Background(), request(0, 1, netnstest.NewBound(t, "a")))
	require.NoError(t, err)
	w.kernel.purged = nil
	w.restart(t)
	after, found := w.hostEntry(t, "fc00::1")
	require.True(t, found)
	require.Equal(t, before, after)
	w.attachHost(t, "10.18.0.1", "fc00::1")
	after, _ = w.hostEntry(t, "fc00::1")
	require.Equal(t, before, after)
	require.Empty(t, w.kernel.purged)
}

func TestThePairIsMadeAnew(t *testing.T) {
	w := newWorker(t)
	got, err := w.Attach(context.Background(), request(0, 1, netnstest.NewBound(t, "a")))
	require.NoError(t, err)
	first := w.attachHost(t, "10.18.0.1", "fc00::1")
	l, err := netlink.LinkByName(device.Host)
	require.NoError(t, err)
	require.NoError(t, netlink.LinkDel(l))
	second := w.attachHost(t, "10.18.0.1", "fc00::1")
	require.NotEqual(t, first.Far, second.Far)
	_, ok, err := w.maps.Endpoints.Lookup(uint32(first.Far))
	require.NoError(t, err)
	require.False(t, ok)
	e, _ := w.hostEntry(t, "10.18.0.1")
	require.EqualValues(t, second.Far, e.Ifindex)
	for _, to := range []netip.Addr{got.NamespaceIP, got.NamespaceIPv6} {
		routes, err := netlink.RouteGet(to.AsSlice())
		require.NoError(t, err)
		via, err := netlink.LinkByIndex(routes[0].LinkIndex)
		require.NoError(t, err)
		require.Equal(t, got.Interface, via.Attrs().Name, "the way to %s", to)
	}
}
