// SPDX-License-Identifier: Apache-2.0

package egress

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

func config() Config {
	return Config{
		Subnets:    []netip.Prefix{netip.MustParsePrefix("10.18.0.0/26"), netip.MustParsePrefix("fc00::/120")},
		Overlay:    []netip.Prefix{netip.MustParsePrefix("10.18.0.0/16"), netip.MustParsePrefix("10.30.0.0/16")},
		TunnelPort: 50103,
	}
}

func handles(t *testing.T) []uint64 { t.Helper(); return handlesOf(t, chainName) }

func handlesOf(t *testing.T, chain string) []uint64 {
	t.Helper()
	conn, err := nftables.New()
	require.NoError(t, err)
	table := &nftables.Table{Name: TableName, Family: nftables.TableFamilyINet}
	rules, err := conn.GetRules(table, &nftables.Chain{Name: chain, Table: table})
	require.NoError(t, err)
	var out []uint64
	for _, r := range rules {
		out = append(out, r.Handle)
	}
	return out
}

func TestEnsureIsIdempotent(t *testing.T) {
	netnstest.Enter(t)
	require.NoError(t, Ensure(config()))
	first := handles(t)
	require.Len(t, first, 8)
	require.NoError(t, Ensure(config()))
	require.Equal(t, first, handles(t), "a right table is left alone")

	changed := config()
	changed.Subnets = changed.Subnets[:1]
	require.NoError(t, Ensure(changed))
	require.Len(t, handles(t), 5)

	conn, err := nftables.New()
	require.NoError(t, err)
	conn.FlushTable(&nftables.Table{Name: TableName, Family: nftables.TableFamilyINet})
	require.NoError(t, conn.Flush())
	require.NoError(t, Ensure(changed))
	require.Len(t, handles(t), 5, "a table that someone emptied is filled again")

	conn.FlushChain(&nftables.Chain{Name: filterChain, Table: &nftables.Table{Name: TableName, Family: nftables.TableFamilyINet}})
	require.NoError(t, conn.Flush())
	require.NoError(t, Ensure(changed))
	require.Len(t, handlesOf(t, filterChain), 1, "and one with an emptied chain")

	require.NoError(t, Remove())
	require.NoError(t, Remove())
	tables, err := conn.ListTables()
	require.NoError(t, err)
	require.Empty(t, tables)
}

// A container, its host and the outside, joined by two veths; the host is the namespace of the test.
func TestContainersReachTheOutsideAsTheirHost(t *testing.T) {
	netnstest.Enter(t)
	inside := namespaceWith(t, "c0", "10.18.0.1/26", "10.18.0.2/26", true)
	outside := namespaceWith(t, "u0", "192.0.2.1/24", "192.0.2.2/24", false)
	require.NoError(t, Ensure(config()))

	var udp net.PacketConn
	var tcp net.Listener
	var err error
	within(t, outside, func() {
		udp, err = net.ListenPacket("udp4", "192.0.2.2:7")
		require.NoError(t, err)
		tcp, err = net.Listen("tcp4", "192.0.2.2:7")
		require.NoError(t, err)
	})
	defer func() { _ = udp.Close(); _ = tcp.Close() }()

	within(t, inside, func() {
		c, err := net.DialUDP("udp4", &net.UDPAddr{Port: 50103}, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 7})
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		_, err = c.Write([]byte("x"))
		require.NoError(t, err)
	})
	require.NoError(t, udp.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, from, err := udp.ReadFrom(make([]byte, 16))
	require.NoError(t, err)
	addr := from.(*net.UDPAddr).AddrPort()
	require.Equal(t, "192.0.2.1", addr.Addr().String())
	require.NotEqual(t, uint16(50103), addr.Port(), "the tunnel's port is never given to a masqueraded flow")

	within(t, inside, func() {
		c, err := net.DialTimeout("tcp4", "192.0.2.2:7", 5*time.Second)
		require.NoError(t, err)
		_ = c.Close()
	})
	conn, err := tcp.Accept()
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.Equal(t, "192.0.2.1", conn.RemoteAddr().(*net.TCPAddr).IP.String())
}

// TestOtherNetworksDoNotReachContainers routes a neighbour's packets to a container's namespace address through the worker.
func TestOtherNetworksDoNotReachContainers(t *testing.T) {
	netnstest.Enter(t)
	inside := namespaceWith(t, "c0", "10.18.0.1/26", "10.18.0.2/26", true)
	outside := namespaceWith(t, "u0", "192.0.2.1/24", "192.0.2.2/24", false)
	var server net.PacketConn
	within(t, inside, func() {
		var err error
		server, err = net.ListenPacket("udp4", "10.18.0.2:7")
		require.NoError(t, err)
	})
	defer func() { _ = server.Close() }()
	send := func(what string) {
		c, err := net.Dial("udp4", "10.18.0.2:7")
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		_, err = c.Write([]byte(what))
		require.NoError(t, err)
	}
	receive := func() string {
		require.NoError(t, server.SetReadDeadline(time.Now().Add(5*time.Second)))
		b := make([]byte, 64)
		n, _, err := server.ReadFrom(b)
		require.NoError(t, err)
		return string(b[:n])
	}
	neighbour := func(what string) {
		within(t, outside, func() { send(what) })
	}
	within(t, outside, func() {
		require.NoError(t, netlink.RouteAdd(&netlink.Route{
			Gw: net.IPv4(192, 0, 2, 1), Dst: &net.IPNet{IP: net.IPv4(10, 18, 0, 0), Mask: net.CIDRMask(26, 32)},
		}))
	})
	neighbour("without the table")
	require.Equal(t, "without the table", receive(), "the test's network is as meant")
	require.NoError(t, Ensure(config()))
	neighbour("from outside")
	send("from the host")
	require.Equal(t, "from the host", receive())
}

// namespaceWith makes a namespace that a veth joins to the test's.
func namespaceWith(t *testing.T, name, hostAddr, addr string, router bool) netns.NsHandle {
	t.Helper()
	ns := netnstest.New(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(ns))}))
	set := func(name, addr string) {
		l, err := netlink.LinkByName(name)
		require.NoError(t, err)
		a, err := netlink.ParseAddr(addr)
		require.NoError(t, err)
		require.NoError(t, netlink.AddrAdd(l, a))
		require.NoError(t, netlink.LinkSetUp(l))
	}
	set(name, hostAddr)
	within(t, ns, func() {
		set("eth0", addr)
		if router {
			ip, _, err := net.ParseCIDR(hostAddr)
			require.NoError(t, err)
			require.NoError(t, netlink.RouteAdd(&netlink.Route{Gw: ip}))
		}
	})
	forward(t, name)
	return ns
}

// within runs f in the namespace, on a thread of its own.
func within(t *testing.T, ns netns.NsHandle, f func()) {
	t.Helper()
	netnstest.Within(t, ns, func() error { f(); return nil })
}

func forward(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/conf/"+name+"/forwarding", []byte("1"), 0))
}
