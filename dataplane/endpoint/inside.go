// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/dataplane/device"
)

// udpSegmentation is turned off inside containers: kernels without the helper flag BPF_F_ADJ_ROOM_DECAP_L4_UDP lose UDP
// super-packets whole after they were decapsulated, without a counter moving.
const udpSegmentation = "tx-udp-segmentation"

// inner returns the container's side of the veth whose host side is host; nil if ns does not have it.
func (n namespace) inner(host netlink.Link) (netlink.Link, error) {
	h, err := netlink.NewHandleAt(n.handle, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink inside the network namespace: %w", err)
	}
	defer h.Close()
	l, err := h.LinkByName(innerName)
	if device.IsGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for %s inside the network namespace: %w", innerName, err)
	}
	if l.Type() != "veth" || l.Attrs().ParentIndex != host.Attrs().Index || host.Attrs().ParentIndex != l.Attrs().Index {
		return nil, nil
	}
	return l, nil
}

// settleInside makes the container's side ready: address, default route through the gateway, which only the program
// answers for, and a permanent neighbour, so that the container never asks by ARP.
func (n namespace) settleInside(e *entry, inner netlink.Link, gateway netip.Addr, mtu int) error {
	if err := n.do(func() error { return errorsInside(innerSettings()) }); err != nil {
		return err
	}
	h, err := netlink.NewHandleAt(n.handle, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink inside the network namespace: %w", err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return errorsInside(fmt.Errorf("find lo: %w", err))
	}
	if err := setMTUAndUp(h, lo, lo.Attrs().MTU); err != nil {
		return errorsInside(err)
	}
	if err := ensureAddress(h, inner, e.NamespaceIP.AsSlice()); err != nil {
		return errorsInside(err)
	}
	if err := setMTUAndUp(h, inner, mtu); err != nil {
		return errorsInside(err)
	}
	if err := ensureNeighbour(h, inner.Attrs().Index, gateway.AsSlice(), e.hostMAC[:]); err != nil {
		return errorsInside(err)
	}
	return errorsInside(ensureRoute(h, netlink.Route{
		LinkIndex: inner.Attrs().Index, Gw: gateway.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
	}))
}

func errorsInside(err error) error {
	if err != nil {
		return fmt.Errorf("inside the network namespace: %w", err)
	}
	return nil
}

// innerSettings runs on a thread inside the namespace.
func innerSettings() error {
	if err := device.DisableIPv6(innerName); err != nil {
		return err
	}
	e, err := ethtool.NewEthtool()
	if err != nil {
		return fmt.Errorf("open ethtool: %w", err)
	}
	defer e.Close()
	features, err := e.Features(innerName)
	if err != nil {
		return fmt.Errorf("read the features of %s: %w", innerName, err)
	}
	if !features[udpSegmentation] {
		return nil
	}
	if err := e.Change(innerName, map[string]bool{udpSegmentation: false}); err != nil {
		return fmt.Errorf("turn %s of %s off: %w", udpSegmentation, innerName, err)
	}
	return nil
}
