// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

func TestRestartKeepsEndpointsWithoutTouchingThem(t *testing.T) {
	w := newWorker(t)
	path := netnstest.NewBound(t, "a")
	got, err := w.Attach(context.Background(), request(0, 1, path))
	require.NoError(t, err)
	// The kernel tells of the device's state up to a second after it has come up, which is none of the restart's doing.
	deadline := time.Now().Add(10 * time.Second)
	for { // in this goroutine, which is in the host's namespace
		host, err := netlink.LinkByName(got.Interface)
		require.NoError(t, err)
		if host.Attrs().OperState == netlink.OperUp {
			break
		}
		require.True(t, time.Now().Before(deadline), "the device comes up")
		time.Sleep(10 * time.Millisecond)
	}

	updates := make(chan netlink.LinkUpdate, 64)
	routes := make(chan netlink.RouteUpdate, 64)
	done := make(chan struct{})
	defer close(done)
	require.NoError(t, netlink.LinkSubscribe(updates, done))
	require.NoError(t, netlink.RouteSubscribe(routes, done))

	w.restart(t)
	requireOneEndpoint(t, w, got)
	again, err := w.Attach(context.Background(), request(0, 1, path))
	require.NoError(t, err)
	require.Equal(t, got, again)
	require.Empty(t, w.kernel.purged)
	require.NotContains(t, w.kernel.order, "detach")

	// A route of the test's own comes after all that the restart could have caused.
	lo, err := netlink.LinkByName("lo")
	require.NoError(t, err)
	require.NoError(t, netlink.LinkSetUp(lo))
	u := <-updates
	require.Equal(t, "lo", u.Link.Attrs().Name, "the restart changed a device")
	for {
		r := <-routes
		require.NotEqual(t, unix.RTM_DELROUTE, int(r.Type))
		if r.LinkIndex == lo.Attrs().Index {
			break
		}
		require.Failf(t, "the restart changed a route", "%v", r)
	}
}

// An endpoint of before organisations were told learns its own without losing a flow, and is found by its addresses.
func TestOrganizationIsLearntLater(t *testing.T) {
	w := newWorker(t)
	path := netnstest.NewBound(t, "a")
	want := request(0, 1, path)
	got, err := w.Attach(context.Background(), want)
	require.NoError(t, err)
	want.Organization = "acme"
	_, err = w.Attach(context.Background(), want)
	require.NoError(t, err)
	require.Empty(t, w.kernel.purged)
	require.Equal(t, 1, w.changes)
	w.restart(t)
	for _, a := range []netip.Addr{got.NamespaceIP, got.NamespaceIPv6} {
		e, ok := w.At(a)
		require.True(t, ok)
		require.Equal(t, "acme", e.Organization)
	}
	for _, a := range []netip.Addr{{}, got.Gateway, got.InstanceIP, got.NamespaceIP.Next()} {
		_, ok := w.At(a)
		require.False(t, ok, a)
	}
}

func TestVanishedNamespaceIsDroppedAtStart(t *testing.T) {
	w := newWorker(t)
	path := netnstest.NewBound(t, "a")
	got, err := w.Attach(context.Background(), request(0, 1, path))
	require.NoError(t, err)
	l, err := netlink.LinkByName(got.Interface)
	require.NoError(t, err)
	require.NoError(t, netlink.LinkDel(l))
	w.restart(t)
	require.Empty(t, w.List())
	requireMaps(t, w, 0)
	require.Empty(t, w.kernel.attached)
}

func TestVanishedNamespaceIsDroppedByCheck(t *testing.T) {
	w := newWorker(t)
	a := netnstest.NewBound(t, "a")
	got, err := w.Attach(context.Background(), request(0, 1, a))
	require.NoError(t, err)
	kept, err := w.Attach(context.Background(), request(1, 1, netnstest.NewBound(t, "b")))
	require.NoError(t, err)
	endContainer(t, a)
	deadline := time.Now().Add(10 * time.Second)
	for { // in this goroutine, which is in the host's namespace
		if _, err := netlink.LinkByName(got.Interface); err != nil {
			break
		}
		require.True(t, time.Now().Before(deadline), "the kernel takes the device down with the namespace")
		time.Sleep(10 * time.Millisecond)
	}
	before := w.changes
	require.NoError(t, w.Check())
	require.Equal(t, before+1, w.changes)
	requireOneEndpoint(t, w, kept)
	require.NoError(t, w.Check())
	require.Equal(t, before+1, w.changes)
}

func TestPathGoneButNamespaceAliveIsKept(t *testing.T) {
	w := newWorker(t)
	path := netnstest.NewBound(t, "a")
	got, err := w.Attach(context.Background(), request(0, 1, path))
	require.NoError(t, err)
	ns, err := openNamespace(path)
	require.NoError(t, err)
	defer ns.close()
	endContainer(t, path)
	w.restart(t)
	requireOneEndpoint(t, w, got)
}

func TestLeftoversAreRemoved(t *testing.T) {
	w := newWorker(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "oak-c0123456789"
	require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "foreign"}))
	require.NoError(t, w.maps.Endpoints.Put(4242, bpf.Endpoint{Ifindex: 4242}))
	w.restart(t)
	_, err := netlink.LinkByName("oak-c0123456789")
	require.Error(t, err)
	requireMaps(t, w, 0)
}

func TestNewMTUReachesEndpoints(t *testing.T) {
	w := newWorker(t)
	path := netnstest.NewBound(t, "a")
	got, err := w.Attach(context.Background(), request(0, 1, path))
	require.NoError(t, err)
	n := network()
	n.MTU = 1300
	require.NoError(t, w.Configure(n))
	host, err := netlink.LinkByName(got.Interface)
	require.NoError(t, err)
	require.Equal(t, 1300, host.Attrs().MTU)
	ns, err := openNamespace(path)
	require.NoError(t, err)
	defer ns.close()
	inner, err := ns.inner(host)
	require.NoError(t, err)
	require.Equal(t, 1300, inner.Attrs().MTU)
}

// The routes of other workers lead to an instance after a reboot of its own, though no cluster tells them anything: the same copy gets the
// same addresses and tag, and others do not get them meanwhile. Another copy gets others.
func TestTheSameCopyGetsItsAddressesAgainAfterAReboot(t *testing.T) {
	w := newWorker(t)
	path := netnstest.NewBound(t, "a")
	before, err := w.Attach(context.Background(), request(0, 1, path))
	require.NoError(t, err)
	host, err := netlink.LinkByName(before.Interface)
	require.NoError(t, err)
	require.NoError(t, netlink.LinkDel(host))
	w.restart(t)
	require.Empty(t, w.List())

	other, err := w.Attach(context.Background(), request(1, 1, netnstest.NewBound(t, "b")))
	require.NoError(t, err)
	require.NotEqual(t, before.NamespaceIP, other.NamespaceIP)
	w.restart(t) // once more, before it is attached
	again, err := w.Attach(context.Background(), request(0, 1, netnstest.NewBound(t, "c")))
	require.NoError(t, err)
	require.Equal(t, before.NamespaceIP, again.NamespaceIP)
	require.Equal(t, before.NamespaceIPv6, again.NamespaceIPv6)
	require.Equal(t, before.Tag, again.Tag)

	require.NoError(t, w.Detach(context.Background(), again.InstanceKey, again.Generation))
	next, err := w.Attach(context.Background(), request(0, 2, netnstest.NewBound(t, "d")))
	require.NoError(t, err)
	require.NotEqual(t, again.NamespaceIP, next.NamespaceIP)
	require.NotEqual(t, again.Tag, next.Tag)
}
