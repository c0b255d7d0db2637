// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/relay"
	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/datapath"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// choice is a client on one worker, and a service with an instance there and one on each of two other workers, the ways to which can be made
// bad. Instances say their names.
type choice struct {
	t      *testing.T
	in     family
	client netns.NsHandle
	a      *worker
	maps   *bpf.Maps
	far    [2]*place // called "b" and "c"
	here   wire.RouteInstance
	at     *wire.Location // of the worker a; nil: unknown
	// Addresses by policy.
	closest, underutilized netip.Addr
	port                   int // the last that a datagram was sent from
}

// place is one of the other workers.
type place struct {
	*worker
	route wire.RouteInstance
	path  *relay.Path
	index uint32 // in the map peers
}

// newChoice has all know one another, as the cluster would tell them; nothing is known of the service yet.
func newChoice(t *testing.T, in family) *choice {
	c := &choice{t: t, in: in, port: 20000, a: newWorker(t, workerID, subnet),
		closest: netip.MustParseAddr("10.30.0.201"), underutilized: netip.MustParseAddr("10.30.0.202")}
	if in.vip.Is6() {
		c.closest, c.underutilized = netip.MustParseAddr("fdff:1000::c9"), netip.MustParseAddr("fdff:3000::ca")
	}
	c.far[0], c.far[1] = &place{worker: newWorker(t, otherID, "10.18.0.64/26")}, &place{worker: newWorker(t, thirdID, "10.18.0.128/26")}
	c.wire()
	for _, w := range []*worker{c.a, c.far[0].worker, c.far[1].worker} {
		w.join()
	}
	clientPath, client := container(t, "client")
	c.client = client
	from := c.a.attach(0, clientPath)
	var sources []wire.NetPeer
	for i, p := range c.far {
		path, ns := container(t, p.c.worker[:1])
		e := p.attach(2+i, path)
		c.answer(ns, string("bc"[i]))
		p.meet(c.a, from)
		p.route = routeOf(p.c.worker, e)
		sources = append(sources, wire.NetPeer{WorkerID: p.c.worker, PublicKey: p.told.PublicKey, Outer: p.told.Outer, Subnets: []netip.Prefix{
			netip.MustParsePrefix(p.subnet), netip.MustParsePrefix(subnetsIPv6[p.subnet])}, Sources: []wire.NetSource{{
			InstanceKey: e.InstanceKey, Generation: e.Generation, InstanceIP: e.InstanceIP, InstanceIPv6: e.InstanceIPv6}}})
	}
	c.a.c.publish(wire.TopicNetPeers, wire.NetPeers{Header: c.a.c.stamp(), Peers: sources}, false)
	path, ns := container(t, "here")
	var e wire.LocalEndpoint
	_, err := c.a.ask(http.MethodPut, wire.PathLocalEndpoints, attachRequest(1, path), &e)
	require.NoError(t, err)
	c.answer(ns, "here")
	c.here = routeOf(workerID, e)

	dir, err := datapath.MapDir(c.a.cfg.BPFFS, c.a.cfg.Name)
	require.NoError(t, err)
	c.maps, err = bpf.OpenMaps(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.maps.Close()) })
	c.a.eventually("both are met and measured", func() bool {
		var err error
		measured := 0
		for index, p := range c.maps.Peers.All(&err) {
			for _, far := range c.far {
				if bpf.FormatID(p.Id) == far.c.worker && p.State == bpf.PeerUp {
					far.index = index
					h, _, err := c.maps.PeerHealth.Lookup(index)
					require.NoError(t, err)
					if h.Sampled != 0 {
						measured++
					}
				}
			}
		}
		require.NoError(t, err)
		return measured == 2
	})
	return c
}

func routeOf(worker string, e wire.LocalEndpoint) wire.RouteInstance {
	return wire.RouteInstance{Number: e.Number, Generation: e.Generation, InstanceIP: e.InstanceIP, InstanceIPv6: e.InstanceIPv6, Peer: worker,
		NamespaceIP: e.NamespaceIP, NamespaceIPv6: e.NamespaceIPv6, Tag: e.Tag, State: wire.StateRunning}
}

// wire joins all three by a switch, b and c by a relay each.
func (c *choice) wire() {
	t := c.t
	middle := netnstest.New(t)
	snooping := false
	within(t, middle, func() {
		la := netlink.NewLinkAttrs()
		la.Name = "br0"
		require.NoError(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: la, MulticastSnooping: &snooping}))
		up(t, "br0", "")
	})
	plug := func(port string) {
		br, err := netlink.LinkByName("br0")
		require.NoError(t, err)
		l, err := netlink.LinkByName(port)
		require.NoError(t, err)
		require.NoError(t, netlink.LinkSetMaster(l, br))
		require.NoError(t, netlink.LinkSetUp(l))
	}
	for i, w := range []*worker{c.a, c.far[0].worker, c.far[1].worker} {
		cable := fmt.Sprint("cable", i)
		within(t, w.ns, func() {
			la := netlink.NewLinkAttrs()
			la.Name = "up"
			require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: la, PeerName: cable, PeerNamespace: netlink.NsFd(int(middle))}))
			_, err := relay.SetOffloads("up", false)
			require.NoError(t, err)
			up(t, "lo", "")
			prefix := netip.MustParsePrefix(c.in.cable[0])
			last := prefix.Addr().AsSlice()
			last[len(last)-1] = byte(1 + i)
			at, _ := netip.AddrFromSlice(last)
			addr, err := netlink.ParseAddr(netip.PrefixFrom(at, prefix.Bits()).String())
			require.NoError(t, err)
			addr.Flags = unix.IFA_F_NODAD
			l, err := netlink.LinkByName("up")
			require.NoError(t, err)
			require.NoError(t, netlink.LinkSetUp(l))
			require.NoError(t, netlink.AddrAdd(l, addr))
		})
		within(t, middle, func() {
			if i == 0 {
				plug(cable)
				return
			}
			port, end := fmt.Sprint("port", i), fmt.Sprint("end", i)
			la := netlink.NewLinkAttrs()
			la.Name = port
			require.NoError(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: la, PeerName: end}))
			plug(port)
			up(t, end, "")
			up(t, cable, "")
			path, err := relay.Open(end, cable, relay.Way{}, relay.Way{})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, path.Close()) })
			c.far[i-1].path = path
		})
	}
}

// answer has an instance say its name to whoever connects, and to each datagram; connections stay open until the caller ends them.
func (c *choice) answer(ns netns.NsHandle, name string) {
	var tcp net.Listener
	var udp net.PacketConn
	within(c.t, ns, func() {
		var err error
		tcp, err = net.Listen(c.in.tcp(), ":80")
		require.NoError(c.t, err)
		udp, err = net.ListenPacket(c.in.udp(), ":80")
		require.NoError(c.t, err)
	})
	c.t.Cleanup(func() { _, _ = tcp.Close(), udp.Close() })
	go func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.WriteString(conn, name)
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	go func() {
		b := make([]byte, 64)
		for {
			_, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo([]byte(name), from)
		}
	}()
}

// call opens a flow and returns who answered, and the flow.
func (c *choice) call(network string, to netip.Addr) (name string, conn net.Conn) {
	c.t.Helper()
	var err error
	d := net.Dialer{Timeout: 5 * time.Second}
	if network == c.in.udp() {
		// A port of its own for each: a datagram from one that was used before belongs to a flow that goes on.
		c.port++
		d.LocalAddr = &net.UDPAddr{Port: c.port}
	}
	within(c.t, c.client, func() { conn, err = d.DialContext(c.t.Context(), network, at(to, "80")) })
	require.NoError(c.t, err)
	if network == c.in.udp() {
		_, err = conn.Write([]byte("?"))
		require.NoError(c.t, err)
	}
	require.NoError(c.t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	said := make([]byte, 64) // the name comes in one piece
	n, err := conn.Read(said)
	require.NoError(c.t, err)
	return string(said[:n]), conn
}

// calls opens so many flows, one after the other, and counts who answered.
func (c *choice) calls(network string, to netip.Addr, n int) map[string]int {
	c.t.Helper()
	got := map[string]int{}
	for range n {
		name, conn := c.call(network, to)
		require.NoError(c.t, conn.Close())
		got[name]++
	}
	return got
}

// all holds that each of some flows goes to the same instance.
func (c *choice) all(what, network string, to netip.Addr, name string) {
	c.t.Helper()
	require.Equal(c.t, map[string]int{name: 12}, c.calls(network, to, 12), what)
}

// tell has the service's routes known, as the cluster would say them.
func (c *choice) tell(instances ...wire.RouteInstance) {
	c.t.Helper()
	m := wire.NetRoutes{Header: c.a.c.stamp(), ServiceID: serviceID, JobName: "a.b.c.d", Instances: instances, Addresses: []wire.ServiceAddress{
		{Policy: wire.PolicyClosest, Address: c.closest}, {Policy: wire.PolicyUnderutilized, Address: c.underutilized}}}
	c.a.c.publish(wire.TopicNetRoutes+serviceID, m, false)
	want := map[uint32]bpf.Backend{}
	for _, i := range instances {
		b := bpf.Backend{Generation: i.Generation.Packed(), Load: bpf.LoadUnknown, Distance: bpf.DistanceUnknown}
		if i.Load != nil {
			b.Load = uint16(*i.Load * 1000)
		}
		switch {
		case i.Peer == workerID:
			b.Distance = 0
		case i.Location != nil && c.at != nil:
			b.Distance = uint16(math.Round(geo.Distance(*c.at, *i.Location)))
		}
		want[uint32(i.Number)] = b
	}
	c.a.eventually("the routes are at work", func() bool {
		var err error
		got := map[uint32]bpf.Backend{}
		for _, b := range c.maps.Backends.All(&err) {
			if b.Generation != 0 {
				got[b.Number] = bpf.Backend{Generation: b.Generation, Load: b.Load, Distance: b.Distance}
			}
		}
		require.NoError(c.t, err)
		s, _, err := c.maps.Services.Lookup(1)
		require.NoError(c.t, err)
		return maps.Equal(want, got) && int(s.Count) == len(instances)
	})
}

// locate has the caller's worker know where it is.
func (c *choice) locate(at wire.Location) {
	c.at = &at
	node := c.a.c.node(c.a.subnet)
	node.Location = &at
	c.a.c.publish(wire.TopicNetNode, node, true)
}
