// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/safchain/ethtool"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

func TestAttachMakesLinkRoutesNeighboursAndMaps(t *testing.T) {
	w := newWorker(t)
	path := netnstest.NewBound(t, "a")
	got, err := w.Attach(context.Background(), request(0, 1, path))
	require.NoError(t, err)
	require.Equal(t, netip.MustParseAddr("10.18.0.2"), got.NamespaceIP, "network and gateway are not given")
	require.Equal(t, netip.MustParseAddr("fc00::2"), got.NamespaceIPv6, "network and gateway are not given")
	require.NotZero(t, got.Tag)
	require.Less(t, got.Tag, uint32(1<<24))
	require.Equal(t, 1, w.changes)

	host, err := netlink.LinkByName(got.Interface)
	require.NoError(t, err)
	index := host.Attrs().Index
	require.Equal(t, 1, w.kernel.attached[index])
	require.NotZero(t, host.Attrs().Flags&net.FlagUp)
	require.Equal(t, 1444, host.Attrs().MTU)
	routes, err := netlink.RouteList(host, netlink.FAMILY_V4)
	require.NoError(t, err)
	require.Len(t, routes, 1)
	require.Equal(t, "10.18.0.2/32", routes[0].Dst.String())
	require.Equal(t, "10.18.0.1", routes[0].Src.String(), "the host appears as the gateway")
	require.Contains(t, routesTo(t, &netlink.Handle{}, host, v6), "fc00::2/128")

	ns, err := openNamespace(path)
	require.NoError(t, err)
	defer ns.close()
	inner, err := ns.inner(host)
	require.NoError(t, err)
	require.NotNil(t, inner)
	requireNeighbour(t, &netlink.Handle{}, host, "10.18.0.2", inner.Attrs().HardwareAddr)
	requireNeighbour(t, &netlink.Handle{}, host, "fc00::2", inner.Attrs().HardwareAddr)

	e, ok, err := w.maps.Endpoints.Lookup(uint32(index))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, net.HardwareAddr(e.Mac[:]), inner.Attrs().HardwareAddr)
	require.Equal(t, net.HardwareAddr(e.HostMac[:]), host.Attrs().HardwareAddr)
	require.Equal(t, "10.18.0.2", e.Ns[bpf.V4].String())
	require.Equal(t, "10.30.0.1", e.Inst[bpf.V4].String())
	require.Equal(t, "fc00::2", e.Ns[bpf.V6].String())
	require.Equal(t, "fdff::1", e.Inst[bpf.V6].String())
	require.Equal(t, got.Tag, e.Tag)
	require.Equal(t, wire.Generation{Placement: 1, Move: 1}.Packed(), e.Generation)
	for _, a := range []netip.Addr{got.NamespaceIP, got.NamespaceIPv6} {
		at, ok, err := w.maps.Local.Lookup(bpf.AddrFrom(a))
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, uint32(index), at)
	}
	looked, ok := w.Lookup(got.InstanceKey, got.Generation)
	require.True(t, ok)
	require.Equal(t, e, looked)
	_, ok = w.Lookup(got.InstanceKey, wire.Generation{Placement: 1, Move: 2})
	require.False(t, ok)

	h, err := netlink.NewHandleAt(ns.handle, unix.NETLINK_ROUTE)
	require.NoError(t, err)
	defer h.Close()
	requireInside(t, h, ns, inner, got, host.Attrs().HardwareAddr)
}

func requireInside(t *testing.T, h *netlink.Handle, ns namespace, inner netlink.Link, got wire.LocalEndpoint, hostMAC net.HardwareAddr) {
	t.Helper()
	inner, err := h.LinkByIndex(inner.Attrs().Index)
	require.NoError(t, err)
	require.Equal(t, "eth0", inner.Attrs().Name)
	require.Equal(t, 1444, inner.Attrs().MTU)
	require.NotZero(t, inner.Attrs().Flags&net.FlagUp)
	lo, err := h.LinkByName("lo")
	require.NoError(t, err)
	require.NotZero(t, lo.Attrs().Flags&net.FlagUp)
	addrs, err := h.AddrList(inner, netlink.FAMILY_ALL)
	require.NoError(t, err)
	require.Len(t, addrs, 2, "no link-local address")
	require.Equal(t, got.NamespaceIP.String()+"/32", addrs[0].IPNet.String())
	require.Equal(t, got.NamespaceIPv6.String()+"/128", addrs[1].IPNet.String())
	require.Zero(t, addrs[1].Flags&unix.IFA_F_TENTATIVE)
	routes, err := h.RouteList(inner, netlink.FAMILY_V4)
	require.NoError(t, err)
	require.Len(t, routes, 1)
	require.Equal(t, "10.18.0.1", routes[0].Gw.String())
	requireNeighbour(t, h, inner, "10.18.0.1", hostMAC)
	require.Contains(t, routesTo(t, h, inner, v6), "::/0 by fc00::1")
	requireNeighbour(t, h, inner, "fc00::1", hostMAC)
	require.NoError(t, ns.do(func() error {
		e, err := ethtool.NewEthtool()
		require.NoError(t, err)
		defer e.Close()
		features, err := e.Features("eth0")
		require.NoError(t, err)
		require.False(t, features[device.UDPSegmentation])
		require.True(t, features["tx-tcp-segmentation"])
		for key, want := range map[string]string{"disable_ipv6": "0\n", "accept_ra": "0\n", "addr_gen_mode": "1\n"} {
			v, err := os.ReadFile("/proc/sys/net/ipv6/conf/eth0/" + key)
			require.NoError(t, err)
			require.Equal(t, want, string(v), key)
		}
		return nil
	}))
}

// routesTo lists the destinations of a device's routes, with their next hop.
func routesTo(t *testing.T, h *netlink.Handle, l netlink.Link, f family) (out []string) {
	t.Helper()
	routes, err := h.RouteList(l, int(f))
	require.NoError(t, err)
	for _, r := range routes {
		s := r.Dst.String()
		if r.Gw != nil {
			s += " by " + r.Gw.String()
		}
		out = append(out, s)
	}
	return out
}

func requireNeighbour(t *testing.T, h *netlink.Handle, l netlink.Link, ip string, mac net.HardwareAddr) {
	t.Helper()
	list, err := h.NeighList(l.Attrs().Index, int(familyOf(netip.MustParseAddr(ip))))
	require.NoError(t, err)
	for _, n := range list {
		if n.IP.String() == ip {
			require.Equal(t, mac, n.HardwareAddr)
			require.Equal(t, netlink.NUD_PERMANENT, n.State)
			return
		}
	}
	require.Failf(t, "no neighbour", "%s not in %v", ip, list)
}

func TestProgramAndMapsComeBeforeTheDeviceIsUp(t *testing.T) {
	w := newWorker(t)
	path := netnstest.NewBound(t, "a")
	w.cfg.Datapath = &watcher{kernel: w.kernel, t: t}
	_, err := w.Attach(context.Background(), request(0, 1, path))
	require.NoError(t, err)
}

// watcher fails the test if a device is up when its program comes.
type watcher struct {
	*kernel
	t *testing.T
}

func (k *watcher) AttachContainer(ifindex int) error {
	l, err := netlink.LinkByIndex(ifindex)
	require.NoError(k.t, err)
	require.Zero(k.t, l.Attrs().Flags&net.FlagUp)
	return k.kernel.AttachContainer(ifindex)
}

func TestSameGenerationChangesNothingAndMendsWhatIsBroken(t *testing.T) {
	w := newWorker(t)
	path := netnstest.NewBound(t, "a")
	first, err := w.Attach(context.Background(), request(0, 1, path))
	require.NoError(t, err)
	again, err := w.Attach(context.Background(), request(0, 1, path))
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, 1, w.changes)

	l, err := netlink.LinkByName(first.Interface)
	require.NoError(t, err)
	require.NoError(t, netlink.LinkDel(l))
	mended, err := w.Attach(context.Background(), request(0, 1, path))
	require.NoError(t, err)
	require.Equal(t, first, mended, "address and tag stay")
	require.Equal(t, 2, w.changes, "its device is another, which routes have to know")
	require.Contains(t, w.kernel.purged, first.NamespaceIP)
}

func TestPortsOfTheSameGenerationChangeAndFlowsGoOn(t *testing.T) {
	w := newWorker(t)
	want := request(0, 1, netnstest.NewBound(t, "a"))
	_, err := w.Attach(context.Background(), want)
	require.NoError(t, err)
	w.kernel.purged = nil
	want.Ports = []wire.Port{{Host: 80, Container: 8080, Protocol: wire.ProtocolTCP}}
	got, err := w.Attach(context.Background(), want)
	require.NoError(t, err)
	require.Equal(t, want.Ports, got.Ports)
	require.Equal(t, 2, w.changes)
	require.Empty(t, w.kernel.purged)
	w.restart(t)
	require.Equal(t, want.Ports, w.List()[0].Ports, "they are on disk")
}

func TestSameGenerationInANewNamespaceKeepsAddressAndTag(t *testing.T) {
	w := newWorker(t)
	first, err := w.Attach(context.Background(), request(0, 1, netnstest.NewBound(t, "a")))
	require.NoError(t, err)
	second, err := w.Attach(context.Background(), request(0, 1, netnstest.NewBound(t, "b")))
	require.NoError(t, err)
	require.Equal(t, first.NamespaceIP, second.NamespaceIP)
	require.Equal(t, first.Tag, second.Tag)
	requireOneEndpoint(t, w, second)
}

func TestHigherGenerationTakesOver(t *testing.T) {
	w := newWorker(t)
	a := netnstest.NewBound(t, "a")
	first, err := w.Attach(context.Background(), request(0, 1, a))
	require.NoError(t, err)

	second, err := w.Attach(context.Background(), request(0, 2, a))
	require.NoError(t, err)
	require.Equal(t, first.NamespaceIP, second.NamespaceIP, "the same namespace keeps its address")
	require.NotEqual(t, first.Tag, second.Tag)
	require.Contains(t, w.kernel.purged, first.NamespaceIP)
	requireOneEndpoint(t, w, second)

	third, err := w.Attach(context.Background(), request(0, 3, netnstest.NewBound(t, "b")))
	require.NoError(t, err)
	require.NotEqual(t, second.NamespaceIP, third.NamespaceIP)
	requireOneEndpoint(t, w, third)

	_, err = w.Attach(context.Background(), request(0, 2, a))
	require.ErrorIs(t, err, ErrStale)
	require.NoError(t, w.Detach(context.Background(), third.InstanceKey, wire.Generation{Placement: 1, Move: 2}))
	require.Len(t, w.List(), 1, "an older tombstone does not harm the newer copy")
}

// requireOneEndpoint checks that kernel, maps and list hold this endpoint and nothing else.
func requireOneEndpoint(t *testing.T, w *worker, want wire.LocalEndpoint) {
	t.Helper()
	require.Equal(t, []wire.LocalEndpoint{want}, w.List())
	host, err := netlink.LinkByName(want.Interface)
	require.NoError(t, err)
	require.Len(t, w.kernel.attached, 1)
	require.Contains(t, w.kernel.attached, host.Attrs().Index)
	requireMaps(t, w, 1)
	e, ok, err := w.maps.Endpoints.Lookup(uint32(host.Attrs().Index))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, want.Generation.Packed(), e.Generation)
	require.Equal(t, want.Tag, e.Tag)
}

func requireMaps(t *testing.T, w *worker, want int) {
	t.Helper()
	var err error
	endpoints, local := 0, 0
	for range w.maps.Endpoints.All(&err) {
		endpoints++
	}
	for range w.maps.Local.All(&err) {
		local++
	}
	require.NoError(t, err)
	require.Equal(t, []int{want, 2 * want}, []int{endpoints, local}, "an address of each family")
}

func TestDetachRemovesEverything(t *testing.T) {
	w := newWorker(t)
	got, err := w.Attach(context.Background(), request(0, 1, netnstest.NewBound(t, "a")))
	require.NoError(t, err)
	require.NoError(t, w.Detach(context.Background(), got.InstanceKey, got.Generation))
	require.Empty(t, w.List())
	requireMaps(t, w, 0)
	require.Empty(t, w.kernel.attached)
	require.Contains(t, w.kernel.purged, got.NamespaceIP)
	require.Contains(t, w.kernel.purged, got.NamespaceIPv6)
	_, err = netlink.LinkByName(got.Interface)
	require.Error(t, err)
	require.NoError(t, w.Detach(context.Background(), got.InstanceKey, got.Generation), "a second time is no error")

	next, err := w.Attach(context.Background(), request(1, 1, netnstest.NewBound(t, "b")))
	require.NoError(t, err)
	require.NotEqual(t, got.NamespaceIP, next.NamespaceIP, "a freed address rests")
	require.NotEqual(t, got.NamespaceIPv6, next.NamespaceIPv6, "a freed address rests")
}

func TestRefusals(t *testing.T) {
	w := newWorker(t)
	path := netnstest.NewBound(t, "a")
	file := filepath.Join(t.TempDir(), "plain")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, change := range map[string]func(*wire.LocalAttach){
		"service":    func(r *wire.LocalAttach) { r.ServiceID = "../x" },
		"number":     func(r *wire.LocalAttach) { r.Number = -1 },
		"generation": func(r *wire.LocalAttach) { r.Generation = wire.Generation{} },
		"address":    func(r *wire.LocalAttach) { r.InstanceIP = netip.Addr{} },
		"address6":   func(r *wire.LocalAttach) { r.InstanceIPv6 = r.InstanceIP },
		"relative":   func(r *wire.LocalAttach) { r.NetNS = "a" },
		"missing":    func(r *wire.LocalAttach) { r.NetNS = path + "x" },
		"plain file": func(r *wire.LocalAttach) { r.NetNS = file },
		"own":        func(r *wire.LocalAttach) { r.NetNS = "/proc/thread-self/ns/net" },
	} {
		r := request(0, 1, path)
		change(&r)
		_, err := w.Attach(context.Background(), r)
		require.ErrorIs(t, err, ErrInvalid, name)
	}
	require.NoError(t, w.Configure(Network{}))
	_, err := w.Attach(context.Background(), request(0, 1, path))
	require.ErrorIs(t, err, ErrNotReady)
	require.Empty(t, w.List())
}

func TestForeignEth0IsRefusedAndNothingIsLeft(t *testing.T) {
	w := newWorker(t)
	path := netnstest.NewBound(t, "a")
	ns, err := openNamespace(path)
	require.NoError(t, err)
	defer ns.close()
	h, err := netlink.NewHandleAt(ns.handle, unix.NETLINK_ROUTE)
	require.NoError(t, err)
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	require.NoError(t, h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "x"}))
	_, err = w.Attach(context.Background(), request(0, 1, path))
	require.ErrorIs(t, err, ErrInvalid)
	require.Empty(t, w.List())
	requireMaps(t, w, 0)
	w.restart(t)
	require.Empty(t, w.List())
}
