// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/dataplane/device"
)

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

// settleInside makes the container's side ready: addresses, default routes through the gateways, which only the program
// answers for, and permanent neighbours, so that the container never asks for one.
func (n namespace) settleInside(e *entry, inner netlink.Link, network Network) error {
	h, err := netlink.NewHandleAt(n.handle, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink inside the network namespace: %w", err)
	}
	defer h.Close()
	if err := setMTU(h, inner, network.MTU); err != nil {
		return errorsInside(err)
	}
	if err := n.do(func() error { return errorsInside(innerSettings(network.speaksIPv6(e))) }); err != nil {
		return err
	}
	lo, err := h.LinkByName("lo")
	if err != nil {
		return errorsInside(fmt.Errorf("find lo: %w", err))
	}
	if err := setUp(h, lo); err != nil {
		return errorsInside(err)
	}
	if err := silence(h, inner); err != nil {
		return errorsInside(err)
	}
	for _, ip := range network.addresses(e) {
		if err := ensureAddress(h, inner, ip); err != nil {
			return errorsInside(err)
		}
	}
	if err := setUp(h, inner); err != nil {
		return errorsInside(err)
	}
	for _, gateway := range network.gateways(e) {
		if err := ensureNeighbour(h, inner.Attrs().Index, gateway, e.hostMAC[:]); err != nil {
			return errorsInside(err)
		}
		if err := ensureRoute(h, familyOf(gateway), netlink.Route{
			LinkIndex: inner.Attrs().Index, Gw: gateway.AsSlice(), Flags: int(netlink.FLAG_ONLINK), Dst: everything(gateway),
		}); err != nil {
			return errorsInside(err)
		}
	}
	for _, ip := range network.addresses(e) {
		if err := device.AwaitLocal(h, ip); err != nil {
			return errorsInside(err)
		}
	}
	return nil
}

// speaksIPv6 reports whether the endpoint can use its IPv6 address now.
func (n Network) speaksIPv6(e *entry) bool {
	return e.NamespaceIPv6.IsValid() && n.GatewayIPv6.IsValid()
}

// addresses are those of the endpoint that it can use now, gateways those of their families.
func (n Network) addresses(e *entry) []netip.Addr {
	if n.speaksIPv6(e) {
		return []netip.Addr{e.NamespaceIP, e.NamespaceIPv6}
	}
	return []netip.Addr{e.NamespaceIP}
}

func (n Network) gateways(e *entry) []netip.Addr {
	if n.speaksIPv6(e) {
		return []netip.Addr{n.Gateway, n.GatewayIPv6}
	}
	return []netip.Addr{n.Gateway}
}

func errorsInside(err error) error {
	if err != nil {
		return fmt.Errorf("inside the network namespace: %w", err)
	}
	return nil
}

// innerSettings runs on a thread inside the namespace.
func innerSettings(ipv6 bool) error {
	settle := device.DisableIPv6
	if ipv6 {
		settle = device.QuietIPv6
	}
	if err := settle(innerName); err != nil {
		return err
	}
	return device.DisableUDPSegmentation(innerName)
}
