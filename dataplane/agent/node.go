// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
	"github.com/oakestra/oakestra-ebpf/dataplane/endpoint"
)

// onNode takes the worker's configuration from the cluster.
func (a *Agent) onNode(ctx context.Context, payload []byte) error {
	m, err := decode(payload, func(m *wire.NetNode) wire.Header { return m.Header })
	if err != nil {
		return err
	}
	a.known.Lock()
	id, have := a.identity, a.node
	a.known.Unlock()
	if have != nil && have.After(m.Stamp) {
		return nil
	}
	if err := checkNode(m, id.WorkerID); err != nil {
		return err
	}
	defer a.observe(m.Epoch)
	a.configuring.Lock()
	defer a.configuring.Unlock()
	if err := a.state.write(nodeFile, m); err != nil {
		return err
	}
	a.known.Lock()
	a.node = &m
	a.known.Unlock()
	return a.configure(ctx)
}

// checkNode refuses a configuration that the dataplane cannot follow; the one at work stays.
func checkNode(n wire.NetNode, workerID string) error {
	if n.WorkerID != workerID {
		return fmt.Errorf("configuration is of worker %q, this is %s", n.WorkerID, workerID)
	}
	subnet, ok := firstV4(n.Subnets)
	switch {
	case !ok:
		return errors.New("subnets: no IPv4 one")
	case !device.Gateway(subnet).IsValid():
		return fmt.Errorf("subnets: %s is too small to have a gateway", subnet)
	case !isV4(n.Ranges.WorkersV4) || !isV4(n.Ranges.ServicesV4):
		return errors.New("ranges: workers_v4 and services_v4 have to be IPv4 prefixes")
	case !n.Ranges.WorkersV4.Contains(subnet.Addr()):
		return fmt.Errorf("subnets: %s is outside of workers_v4 %s", subnet, n.Ranges.WorkersV4)
	}
	return nil
}

// configure makes devices, maps, firewall and endpoints what the node's configuration, the flags and the uplink say, and starts
// the overlay once all is known. It changes nothing that is right. configuring is held.
func (a *Agent) configure(ctx context.Context) error {
	a.known.Lock()
	node, identity, before := a.node, a.identity, a.port
	a.known.Unlock()
	port := tunnelPort(a.cfg, node)
	if err := a.openTunnel(port); err != nil {
		return err
	}
	if before != 0 && before != port {
		a.stopOverlay()
	}
	if node == nil {
		return nil
	}
	if err := a.configureHost(); err != nil {
		return err
	}
	if err := a.listenNames(ctx); err != nil { // tried on: nothing else waits for it
		a.log.Error("names are not answered", "error", err)
	}
	if err := a.admitContainers(); err != nil { // tried again when the host's part is mended
		a.log.Warn("containers may not reach the outside", "error", err)
	}
	mtu := a.mtus()
	own, err := gateways(*node, mtu.least)
	if err != nil {
		return err
	}
	if why := noIPv6(*node, mtu.least); why != "" {
		a.log.Warn("containers have no IPv6", "reason", why)
	}
	n := endpoint.Network{Subnets: node.Subnets, Gateway: own.IPv4, GatewayIPv6: own.IPv6, MTU: mtu.containers}
	if err := a.endpoints.Configure(n); err != nil {
		a.log.Error("cannot mend all endpoints", "error", err)
	}
	if identity == nil {
		return nil
	}
	if o := a.overlay.Load(); o == nil {
		if err := a.startOverlay(ctx, identity.WorkerID, port, node.Location); err != nil {
			return err
		}
	} else {
		o.routes.Locate(node.Location)
	}
	select {
	case a.configured <- struct{}{}:
	default:
	}
	return nil
}

// configureHost makes the host's own pair, what the programs know and the firewall what the node's configuration and the uplink say.
// It changes nothing that is right, and nothing at all without a configuration. configuring is held.
func (a *Agent) configureHost() error {
	a.known.Lock()
	node, port := a.node, a.port
	a.known.Unlock()
	if node == nil {
		return nil
	}
	mtu := a.mtus()
	own, err := gateways(*node, mtu.least)
	if err != nil {
		return fmt.Errorf("stored configuration %s: %w: remove it to have it asked for", a.state.path(nodeFile), err)
	}
	pair, err := device.EnsureHost(own, mtu.host)
	if err != nil {
		return err
	}
	if err := a.writeConfig(*node, own, port, mtu.containers); err != nil {
		return err
	}
	if err := a.endpoints.AttachHost(pair, own); err != nil {
		return err
	}
	if err := device.RouteServices(own, node.Ranges.ServicesV4, node.Ranges.ServicesV6); err != nil {
		return err
	}
	return a.firewall.Configure(node.Subnets, overlayRanges(node.Ranges), port)
}

func tunnelPort(cfg Config, node *wire.NetNode) uint16 {
	if node == nil {
		return cmp.Or(cfg.TunnelPort, DefaultTunnelPort)
	}
	return cmp.Or(cfg.TunnelPort, node.TunnelPort, DefaultTunnelPort)
}

// openTunnel has the kernel hold the tunnel's port. The program that drops everything comes first.
func (a *Agent) openTunnel(port uint16) error {
	index, err := device.EnsureTunnel(port)
	if err != nil {
		return err
	}
	if err := a.dp.AttachTunnelDevice(index); err != nil {
		return err
	}
	if err := device.SetUp(index); err != nil {
		return err
	}
	a.known.Lock()
	a.port = port
	a.known.Unlock()
	return nil
}

// writeConfig tells the programs, if that differs from what they know.
func (a *Agent) writeConfig(n wire.NetNode, own device.HostAddresses, port uint16, mtu int) error {
	want := bpf.Config{
		Services4:     bpf.PrefixFrom(n.Ranges.ServicesV4),
		Services6:     bpf.PrefixFrom(n.Ranges.ServicesV6),
		Workers4:      bpf.PrefixFrom(n.Ranges.WorkersV4),
		Workers6:      bpf.PrefixFrom(n.Ranges.WorkersV6),
		Gateway4:      bpf.AddrFrom(own.IPv4),
		Gateway6:      bpf.AddrFrom(own.IPv6),
		UpcallIfindex: uint32(a.up0),
		TunnelPort:    port,
		Mtu:           uint16(min(mtu, 0xffff)),
		FlowShare:     [2]uint32{a.cfg.FlowShare, a.cfg.FlowShare},
	}
	have, ok, err := a.dp.Maps().Config.Lookup(0)
	if err != nil {
		return err
	}
	if ok && have == want {
		return nil
	}
	return a.dp.Maps().Config.Put(0, want)
}

func overlayRanges(r wire.Ranges) (out []netip.Prefix) {
	for _, p := range []netip.Prefix{r.WorkersV4, r.ServicesV4, r.WorkersV6, r.ServicesV6} {
		if p.IsValid() {
			out = append(out, p)
		}
	}
	return out
}
