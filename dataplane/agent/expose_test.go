// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/netnstest"
)

// reservedPorts returns what the kernel gives to no socket that asks for any port.
func (h *host) reservedPorts() (out string) {
	h.t.Helper()
	h.within(func() {
		text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_reserved_ports")
		require.NoError(h.t, err)
		out = strings.TrimSpace(string(text))
	})
	return out
}

func TestExposedPortsFromAttachToDetach(t *testing.T) {
	h, c := newHost(t), newCluster(t, workerID)
	outsideNS := netnstest.New(t)
	cable(t, h.ns, outsideNS)
	c.serve(h)
	c.publish(wire.TopicNetNode, c.node(subnet), true)
	h.start()
	_, err := h.ask(http.MethodPut, wire.PathLocalIdentity, c.identity(), nil)
	require.NoError(t, err)
	h.eventually("it is ready", func() bool { return h.status().Ready })

	var taken net.Listener
	h.within(func() { taken, err = net.Listen("tcp4", ":9000") })
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	used := h.status().UsedPorts
	require.Equal(t, []uint16{9000}, used.TCP)
	require.Equal(t, []uint16{DefaultTunnelPort}, used.UDP)

	path, ns := container(t, "a")
	want := attachRequest(0, path)
	want.Ports = []wire.Port{{Host: 8080, Container: 80, Protocol: wire.ProtocolTCP}, {Host: 9000, Container: 81, Protocol: wire.ProtocolTCP}}
	status, err := h.ask(http.MethodPut, wire.PathLocalEndpoints, want, nil)
	require.ErrorContains(t, err, "a process of this worker listens on 9000/tcp")
	require.ErrorContains(t, err, `"elsewhere":true`)
	require.Equal(t, http.StatusConflict, status)
	require.Empty(t, h.reservedPorts())

	want.Ports = want.Ports[:1]
	var e wire.LocalEndpoint
	_, err = h.ask(http.MethodPut, wire.PathLocalEndpoints, want, &e)
	require.NoError(t, err)
	require.Equal(t, want.Ports, e.Ports)
	require.Equal(t, "8080", h.reservedPorts())
	var l net.Listener
	within(t, ns, func() { l, err = net.Listen("tcp4", ":80") })
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	require.Equal(t, "192.0.2.1", exchange(t, h.within, l, "192.0.2.1:8080"), "the host itself reaches it at its own address")
	require.Equal(t, "192.0.2.2", exchange(t, func(f func()) { within(t, outsideNS, f) }, l, "192.0.2.1:8080"))

	other := attachRequest(1, path)
	other.Ports = want.Ports
	_, err = h.ask(http.MethodPut, wire.PathLocalEndpoints, other, nil)
	require.ErrorContains(t, err, "is exposed for instance "+want.InstanceKey.String())

	h.kill()
	h.start()
	require.Equal(t, "8080", h.reservedPorts())
	exchange(t, h.within, l, "192.0.2.1:8080")
	want.Ports = append(want.Ports, wire.Port{Host: 8081, Container: 80, Protocol: wire.ProtocolTCP})
	_, err = h.ask(http.MethodPut, wire.PathLocalEndpoints, want, nil)
	require.NoError(t, err, "the service's descriptor has changed")
	require.Equal(t, "8080-8081", h.reservedPorts())
	exchange(t, h.within, l, "192.0.2.1:8081")
	outside := func(f func()) { within(t, outsideNS, f) }
	require.Equal(t, "192.0.2.2", exchange(t, outside, l, "192.0.2.1:8081"), "the outside keeps its address")

	gone := strings.NewReplacer("{id}", serviceID, "{number}", "0").Replace(wire.PathLocalEndpoint)
	_, err = h.ask(http.MethodDelete, gone+"?generation="+want.Generation.String(), nil, nil)
	require.NoError(t, err)
	require.Empty(t, h.reservedPorts())
	h.within(func() { _, err = net.Dial("tcp4", "192.0.2.1:8080") })
	require.ErrorContains(t, err, "connection refused")
}
