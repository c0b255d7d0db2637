// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
)

const serviceID = "bbbbbbbbbbbbbbbbbbbbbbbb"

const subnet = "10.18.0.0/26"

// subnetsIPv6 are those that come with a subnet of IPv4.
var subnetsIPv6 = map[string]string{subnet: "fc00::/120", "10.18.0.64/26": "fc00::100/120", "10.18.0.128/26": "fc00::200/120"}

func (c *cluster) node(subnet string) wire.NetNode {
	return wire.NetNode{
		Header: c.stamp(), WorkerID: c.worker, TunnelPort: 50103,
		Subnets: []netip.Prefix{netip.MustParsePrefix(subnet), netip.MustParsePrefix(subnetsIPv6[subnet])},
		Ranges: wire.Ranges{
			WorkersV4: netip.MustParsePrefix("10.18.0.0/16"), WorkersV6: netip.MustParsePrefix("fc00::/112"),
			ServicesV4: netip.MustParsePrefix("10.30.0.0/16"), ServicesV6: netip.MustParsePrefix("fdff::/16"),
		},
	}
}

func attachRequest(number int, path string) wire.LocalAttach {
	return wire.LocalAttach{
		InstanceKey: wire.InstanceKey{ServiceID: serviceID, Number: number}, Generation: wire.Generation{Placement: 1, Move: 1},
		JobName: "a.b.c.d", NetNS: path, InstanceIP: netip.AddrFrom4([4]byte{10, 30, 0, byte(number + 1)}),
		InstanceIPv6: netip.AddrFrom16([16]byte{0xfd, 0xff, 15: byte(number + 1)}),
	}
}

// routes are those of a service with one instance, here.
func (c *cluster) routes(e wire.LocalEndpoint) wire.NetRoutes {
	return wire.NetRoutes{
		Header: c.stamp(), ServiceID: serviceID, JobName: e.JobName,
		Addresses: []wire.ServiceAddress{
			{Policy: wire.PolicyRoundRobin, Address: inIPv4.vip}, {Policy: wire.PolicyRoundRobin, Address: inIPv6.vip},
		},
		Instances: []wire.RouteInstance{{
			Number: e.Number, Generation: e.Generation, InstanceIP: e.InstanceIP, InstanceIPv6: e.InstanceIPv6, Peer: c.worker,
			NamespaceIP: e.NamespaceIP, NamespaceIPv6: e.NamespaceIPv6, Tag: e.Tag, State: wire.StateRunning,
		}},
	}
}

// The life of a worker: it joins, attaches two instances, resolves a service at its first packet, is killed, starts alone
// and is stopped.
func TestLifeOfAWorker(t *testing.T) { eachFamily(t, lifeOfAWorker) }

func lifeOfAWorker(t *testing.T, in family) {
	h, c := lonelyHost(t), newCluster(t, workerID)
	c.serve(h)
	h.start()
	require.Contains(t, h.status().Reason, "no identity")
	_, err := h.ask(http.MethodPut, wire.PathLocalEndpoints, attachRequest(0, "/x"), nil)
	require.ErrorContains(t, err, "503")

	id := c.identity()
	_, err = h.ask(http.MethodPut, wire.PathLocalIdentity, id, nil)
	require.NoError(t, err)
	var alive wire.Alive
	h.eventually("it is alive", func() bool { return c.last(wire.TopicAliveNet, &alive) && alive.Present })
	require.Contains(t, h.status().Reason, "subnet")
	c.publish(wire.TopicNetNode, c.node(subnet), true)
	h.eventually("it is ready", func() bool { return h.status().Ready })
	var endpoints wire.NetEndpoints
	h.eventually("it tells its key", func() bool { return c.last(wire.TopicNetEndpoints, &endpoints) })
	require.Len(t, endpoints.PublicKey, 32)
	require.Equal(t, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:50103")}, endpoints.Outer)

	// Another worker's identity is refused, the same again is no event.
	other := id
	other.WorkerID = "cccccccccccccccccccccccc"
	_, err = h.ask(http.MethodPut, wire.PathLocalIdentity, other, nil)
	require.ErrorContains(t, err, "409")
	_, err = h.ask(http.MethodPut, wire.PathLocalIdentity, id, nil)
	require.NoError(t, err)

	clientPath, client := container(t, "client")
	serverPath, server := container(t, "server")
	var from, to wire.LocalEndpoint
	_, err = h.ask(http.MethodPut, wire.PathLocalEndpoints, attachRequest(0, clientPath), &from)
	require.NoError(t, err)
	_, err = h.ask(http.MethodPut, wire.PathLocalEndpoints, attachRequest(1, serverPath), &to)
	require.NoError(t, err)
	h.eventually("it tells its endpoints", func() bool { return c.last(wire.TopicNetEndpoints, &endpoints) && len(endpoints.Endpoints) == 2 })
	require.Equal(t, to.Tag, endpoints.Endpoints[1].Tag)

	// First packets to a service never seen before wait for its routes, and all arrive in order.
	var listener net.PacketConn
	within(t, server, func() { listener, err = net.ListenPacket(in.udp(), ":7") })
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	var conn net.Conn
	within(t, client, func() { conn, err = net.Dial(in.udp(), at(in.vip, "7")) })
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	for i := range 50 {
		_, err = fmt.Fprintf(conn, "%d", i)
		require.NoError(t, err)
	}
	var interest wire.NetInterest
	h.eventually("it asks for the address", func() bool {
		return c.last(wire.TopicNetInterest, &interest) && len(interest.Addresses) == 1 && interest.Addresses[0].Address == in.vip
	})
	c.publish(wire.TopicNetRoutes+serviceID, c.routes(to), false)
	buffer := make([]byte, 64)
	for i := range 50 {
		require.NoError(t, listener.SetReadDeadline(time.Now().Add(5*time.Second)))
		n, peer, err := listener.ReadFrom(buffer)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(buffer[:n]))
		require.Equal(t, in.instance(from).String(), peer.(*net.UDPAddr).IP.String(), "the caller appears as its Instance IP")
	}
	h.eventually("it holds the routes", func() bool {
		return c.last(wire.TopicNetInterest, &interest) && len(interest.Addresses) == 1
	})
	h.eventually("the routes are stored", func() bool {
		_, err := os.Stat(filepath.Join(h.cfg.StateDir, routesFile))
		return err == nil
	})
	time.Sleep(2 * saveEvery) // what a kill may lose

	// Killed, with the cluster away: known services go on meanwhile and after the start.
	before := h.snapshot()
	h.kill()
	h.eventually("the broker sends the will", func() bool { return c.last(wire.TopicAliveNet, &alive) && !alive.Present })
	c.stop()
	echo(t, conn, listener, "while killed")
	h.start()
	require.True(t, h.status().Ready)
	require.False(t, h.status().Connected)
	require.Equal(t, before, h.snapshot(), "the restart recreates nothing")
	echo(t, conn, listener, "after the start")
	var list []wire.LocalEndpoint
	_, err = h.ask(http.MethodGet, wire.PathLocalEndpoints, nil, &list)
	require.NoError(t, err)
	require.Equal(t, []wire.LocalEndpoint{from, to}, list)

	// The cluster comes back: everything is said again, with higher stamps.
	first := endpoints.Stamp
	session := alive.Session
	c.forget()
	c.serve(h)
	h.eventually("it is alive again", func() bool { return c.last(wire.TopicAliveNet, &alive) && alive.Present })
	require.Greater(t, alive.Session, session)
	h.eventually("it says everything again", func() bool {
		return c.last(wire.TopicNetEndpoints, &endpoints) && c.last(wire.TopicNetInterest, &interest)
	})
	require.Greater(t, endpoints.Epoch, first.Epoch)
	require.Len(t, endpoints.Endpoints, 2)
	require.Len(t, interest.Addresses, 1)
	require.Equal(t, uint64(1000), interest.Addresses[0].Held.Epoch, "the routes it was told before the restart")

	_, err = h.ask(http.MethodDelete, wire.PathLocalEndpoints+"/"+serviceID+"/0?generation=1.1", nil, nil)
	require.NoError(t, err)
	h.eventually("it tells that one is gone", func() bool { return c.last(wire.TopicNetEndpoints, &endpoints) && len(endpoints.Endpoints) == 1 })

	h.terminate()
	h.eventually("it says farewell", func() bool { return c.last(wire.TopicAliveNet, &alive) && !alive.Present })
	h.within(func() {
		_, err := netlink.LinkByName(to.Interface)
		require.NoError(t, err, "what is attached stays attached")
	})
}

func echo(t *testing.T, conn net.Conn, listener net.PacketConn, text string) {
	t.Helper()
	_, err := conn.Write([]byte(text))
	require.NoError(t, err)
	buffer := make([]byte, 64)
	require.NoError(t, listener.SetReadDeadline(time.Now().Add(5*time.Second)))
	n, peer, err := listener.ReadFrom(buffer)
	require.NoError(t, err)
	require.Equal(t, text, string(buffer[:n]))
	_, err = listener.WriteTo(buffer[:n], peer)
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	n, err = conn.Read(buffer)
	require.NoError(t, err)
	require.Equal(t, text, string(buffer[:n]))
}

// snapshot names the host's devices with their numbers, and the routed backends.
func (h *host) snapshot() map[string]int {
	out := map[string]int{}
	h.within(func() {
		links, err := netlink.LinkList()
		require.NoError(h.t, err)
		for _, l := range links {
			out[l.Attrs().Name] = l.Attrs().Index
		}
	})
	dir, err := datapath.MapDir(h.cfg.BPFFS, h.cfg.Name)
	require.NoError(h.t, err)
	maps, err := bpf.OpenMaps(dir)
	require.NoError(h.t, err)
	defer func() { _ = maps.Close() }()
	for i, b := range maps.Backends.All(&err) {
		if b.Generation != 0 {
			out[fmt.Sprintf("backend %d of service %d", b.Number, b.Service)] = int(i)
		}
	}
	require.NoError(h.t, err)
	return out
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []Config{{}, {StateDir: "a", Socket: "b", RunDir: "c", Name: "a/b"}, {StateDir: "a", Socket: "b", RunDir: "c", Name: ".."}} {
		require.Error(t, Run(t.Context(), cfg))
	}
}

func TestNodeIsChecked(t *testing.T) {
	c := &cluster{t: t, worker: workerID}
	require.NoError(t, checkNode(c.node(subnet), workerID))
	for name, change := range map[string]func(*wire.NetNode){
		"other worker": func(n *wire.NetNode) { n.WorkerID = serviceID },
		"no subnet":    func(n *wire.NetNode) { n.Subnets = nil },
		"only v6":      func(n *wire.NetNode) { n.Subnets = n.Subnets[1:] },
		"tiny":         func(n *wire.NetNode) { n.Subnets[0] = netip.MustParsePrefix("10.18.0.0/31") },
		"no range":     func(n *wire.NetNode) { n.Ranges.ServicesV4 = netip.Prefix{} },
		"outside":      func(n *wire.NetNode) { n.Subnets[0] = netip.MustParsePrefix("10.19.0.0/26") },
	} {
		n := c.node(subnet)
		change(&n)
		require.Error(t, checkNode(n, workerID), name)
	}
}

func TestTunnelPort(t *testing.T) {
	require.Equal(t, uint16(50103), tunnelPort(Config{}, nil))
	require.Equal(t, uint16(50103), tunnelPort(Config{}, &wire.NetNode{}))
	require.Equal(t, uint16(4), tunnelPort(Config{}, &wire.NetNode{TunnelPort: 4}))
	require.Equal(t, uint16(5), tunnelPort(Config{TunnelPort: 5}, &wire.NetNode{TunnelPort: 4}))
}

func TestRaiseIsAboveClockAndPast(t *testing.T) {
	f := folder(t.TempDir())
	now := time.UnixMilli(5000)
	for _, want := range []uint64{5000, 5001, 5002} {
		n, err := f.raise("n.json", now)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	n, err := f.raise("n.json", time.UnixMilli(-7))
	require.NoError(t, err)
	require.Equal(t, uint64(5003), n)
}

func TestOverlayKeyIsKept(t *testing.T) {
	f := folder(t.TempDir())
	a, err := f.overlayKey()
	require.NoError(t, err)
	b, err := f.overlayKey()
	require.NoError(t, err)
	require.True(t, a.Equal(b))
	info, err := os.Stat(f.path(keyFile))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, f.write(keyFile, []byte("short")))
	_, err = f.overlayKey()
	require.ErrorContains(t, err, "remove it")
}
