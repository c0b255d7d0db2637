// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
)

func TestGatewaysAndWhyThereIsNoIPv6(t *testing.T) {
	c := &cluster{t: t, worker: workerID}
	own, err := gateways(c.node(subnet), 1444)
	require.NoError(t, err)
	require.Equal(t, device.HostAddresses{IPv4: inIPv4.gateway, IPv6: inIPv6.gateway}, own)
	for reason, change := range map[string]func(*wire.NetNode, *int){
		"no IPv6 subnet":     func(n *wire.NetNode, _ *int) { n.Subnets = n.Subnets[:1] },
		"has leased":         func(n *wire.NetNode, _ *int) { n.Ranges.ServicesV6 = netip.Prefix{} },
		"none of the range":  func(n *wire.NetNode, _ *int) { n.Subnets[1] = netip.MustParsePrefix("fd00::/120") },
		"too small to have":  func(n *wire.NetNode, _ *int) { n.Subnets[1] = netip.MustParsePrefix("fc00::/127") },
		"raise the uplink's": func(_ *wire.NetNode, mtu *int) { *mtu = 1200 },
	} {
		n, mtu := c.node(subnet), 1444
		change(&n, &mtu)
		require.Contains(t, noIPv6(n, mtu), reason)
		own, err := gateways(n, mtu)
		require.NoError(t, err)
		require.Equal(t, device.HostAddresses{IPv4: inIPv4.gateway}, own, "IPv4 goes on without it")
	}
}
