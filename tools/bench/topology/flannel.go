// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/tools/bench/lab"
)

// As flannel's VXLAN backend and the bridge plugin that it configures have them.
const (
	bridgeName  = "cni0"
	vxlanName   = "flannel.1"
	vxlanID     = 1
	vxlanPort   = 8472
	vxlanMTU    = UnderlayMTU - 50
	bridgeCalls = "net/bridge/bridge-nf-call-iptables"
)

// NewFlannel has containers on a bridge of their worker and a kernel VXLAN device between the workers. Only IPv4 is wired.
func NewFlannel(l *lab.Lab, name string, instances int) (*Pair, error) {
	p, err := NewPair(l, name)
	if err != nil {
		return nil, err
	}
	for i := range 2 {
		if err := errors.Join(p.bridge(i), p.vxlan(i)); err != nil {
			return nil, err
		}
	}
	return p, p.populate(instances, p.plugBridge)
}

// bridge makes a worker's bridge. Its packets pass the rules, since answers of a container on the same bridge would reach the client
// untranslated otherwise; Kubernetes asks for that.
func (p *Pair) bridge(worker int) error {
	w := p.worker(worker)
	err := w.Links(func(h *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = bridgeName, vxlanMTU
		if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return fmt.Errorf("create bridge %s: %w", bridgeName, err)
		}
		gw := subnet(worker, false)
		return errors.Join(lab.AddAddress(h, bridgeName, netip.PrefixFrom(gateway(worker, false), gw.Bits())), lab.Up(h, bridgeName))
	})
	return errors.Join(err, w.Sysctl(bridgeCalls, "1"))
}

func vtepMAC(worker int) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0, 0, 0, 0x24, byte(worker + 1)}
}

// vxlan makes a worker's VXLAN device with flannel's static entries: a route to the other worker's subnet over that subnet's first
// address, that address's MAC, and where frames for that MAC go.
func (p *Pair) vxlan(worker int) error {
	other := 1 - worker
	return p.worker(worker).Links(func(h *netlink.Handle) error {
		up, err := h.LinkByName(Uplink)
		if err != nil {
			return fmt.Errorf("find the uplink: %w", err)
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.HardwareAddr = vxlanName, vxlanMTU, vtepMAC(worker)
		err = h.LinkAdd(&netlink.Vxlan{LinkAttrs: attrs, VxlanId: vxlanID, Port: vxlanPort, Learning: false,
			VtepDevIndex: up.Attrs().Index, SrcAddr: Outer(worker, false).AsSlice()})
		if err != nil {
			return fmt.Errorf("create device %s: %w", vxlanName, err)
		}
		l, err := h.LinkByName(vxlanName)
		if err != nil {
			return fmt.Errorf("find device %s: %w", vxlanName, err)
		}
		if err := errors.Join(lab.AddAddress(h, vxlanName, host(subnet(worker, false).Addr())), lab.Up(h, vxlanName)); err != nil {
			return err
		}
		there := subnet(other, false)
		arp := &netlink.Neigh{LinkIndex: l.Attrs().Index, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT,
			IP: there.Addr().AsSlice(), HardwareAddr: vtepMAC(other)}
		fdb := &netlink.Neigh{LinkIndex: l.Attrs().Index, Family: 7 /* AF_BRIDGE */, State: netlink.NUD_PERMANENT, Flags: netlink.NTF_SELF,
			IP: Outer(other, false).AsSlice(), HardwareAddr: vtepMAC(other)}
		for _, n := range []*netlink.Neigh{arp, fdb} {
			if err := h.NeighSet(n); err != nil {
				return fmt.Errorf("tell device %s of the other worker: %w", vxlanName, err)
			}
		}
		return lab.AddRoute(h, vxlanName, there, there.Addr())
	})
}

func (p *Pair) plugBridge(worker, n int, c *lab.Namespace) error {
	w, device := p.worker(worker), fmt.Sprintf("veth%d", n)
	if err := lab.Cable(w, device, c, "eth0", vxlanMTU); err != nil {
		return err
	}
	err := w.Links(func(h *netlink.Handle) error {
		bridge, err := h.LinkByName(bridgeName)
		if err != nil {
			return fmt.Errorf("find bridge %s: %w", bridgeName, err)
		}
		port, err := h.LinkByName(device)
		if err != nil {
			return fmt.Errorf("find device %s: %w", device, err)
		}
		if err := h.LinkSetMasterByIndex(port, bridge.Attrs().Index); err != nil {
			return fmt.Errorf("plug %s into %s: %w", device, bridgeName, err)
		}
		if err := h.LinkSetHairpin(port, true); err != nil {
			return fmt.Errorf("let %s answer itself: %w", device, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.Links(func(h *netlink.Handle) error {
		own := netip.PrefixFrom(ContainerAddress(worker, n, false), subnet(worker, false).Bits())
		return errors.Join(lab.AddAddress(h, "eth0", own), lab.AddRoute(h, "eth0", anywhere(false), gateway(worker, false)))
	})
}
