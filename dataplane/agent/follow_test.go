// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
)

func (h *host) link(name string) (l netlink.Link) {
	h.within(func() {
		var err error
		l, err = netlink.LinkByName(name)
		require.NoError(h.t, err)
	})
	return l
}

func TestItFollowsUplinkAndTunnelPort(t *testing.T) {
	h, c := lonelyHost(t), newCluster(t, workerID)
	c.serve(h)
	node := c.node(subnet)
	c.publish(wire.TopicNetNode, node, true)
	h.start()
	_, err := h.ask(http.MethodPut, wire.PathLocalIdentity, c.identity(), nil)
	require.NoError(t, err)
	h.eventually("it is ready", func() bool { return h.status().Ready })
	path, _ := container(t, "a")
	var e wire.LocalEndpoint
	_, err = h.ask(http.MethodPut, wire.PathLocalEndpoints, attachRequest(0, path), &e)
	require.NoError(t, err)
	require.Equal(t, 1464, h.link(e.Interface).Attrs().MTU)

	h.within(func() {
		up, err := netlink.LinkByName("up")
		require.NoError(t, err)
		require.NoError(t, netlink.LinkSetMTU(up, 1400))
		old, err := netlink.ParseAddr("192.0.2.1/24")
		require.NoError(t, err)
		addr, err := netlink.ParseAddr("192.0.2.77/24")
		require.NoError(t, err)
		require.NoError(t, netlink.AddrAdd(up, addr))
		require.NoError(t, netlink.AddrDel(up, old))
		// Secondary addresses go with their primary one.
		_ = netlink.AddrAdd(up, addr)
	})
	h.eventually("containers have the new MTU", func() bool { return h.link(e.Interface).Attrs().MTU == 1364 })
	var m wire.NetEndpoints
	h.eventually("the cluster hears of the address", func() bool {
		return c.last(wire.TopicNetEndpoints, &m) && len(m.Outer) == 1 && m.Outer[0].Addr() == netip.MustParseAddr("192.0.2.77")
	})

	before := h.link(device.Tunnel).Attrs().Index
	node.Header, node.TunnelPort = c.stamp(), 50200
	c.publish(wire.TopicNetNode, node, true)
	h.eventually("the cluster hears of the port", func() bool { return c.last(wire.TopicNetEndpoints, &m) && m.Outer[0].Port() == 50200 })
	tunnel, ok := h.link(device.Tunnel).(*netlink.Vxlan)
	require.True(t, ok)
	require.Equal(t, 50200, tunnel.Port)
	require.NotEqual(t, before, tunnel.Index)
	h.eventually("it is ready again", func() bool { return h.status().Ready })

	// What is older, empty or of another worker changes nothing.
	for _, m := range []any{c.node(subnet), nil} {
		if n, ok := m.(wire.NetNode); ok {
			n.Header = wire.NewHeader(wire.Stamp{Epoch: 1})
			m = n
		}
		c.publish(wire.TopicNetNode, m, false)
	}
	require.NoError(t, c.srv.Publish(wire.Topic(workerID, wire.TopicNetNode), nil, false, 1))
	other := c.node(subnet)
	other.WorkerID = serviceID
	c.publish(wire.TopicNetNode, other, false)
	newer := c.node(subnet)
	newer.Format = wire.Format + 1
	c.publish(wire.TopicNetNode, newer, false)
	node.Header = c.stamp()
	node.Subnets = append(node.Subnets, netip.MustParsePrefix("10.18.0.64/26"))
	c.publish(wire.TopicNetNode, node, false)
	h.eventually("it has applied the last", func() bool {
		var have wire.NetNode
		_, err := folder(h.cfg.StateDir).read(nodeFile, &have)
		require.NoError(t, err)
		return have.Stamp == node.Stamp
	})
	require.Equal(t, 50200, h.link(device.Tunnel).(*netlink.Vxlan).Port)
	require.True(t, h.status().Ready)
}
