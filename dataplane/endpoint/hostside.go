// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/dataplane/device"
)

// createVeth makes a pair whose other end is eth0 inside ns; both are down.
func createVeth(name string, mtu int, ns namespace) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.MTU = mtu
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: innerName, PeerNamespace: netlink.NsFd(int(ns.handle))}
	if err := netlink.LinkAdd(veth); err != nil {
		if errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("%w: the network namespace has a device %s already, which is not this worker's", ErrInvalid, innerName)
		}
		return nil, fmt.Errorf("create veth %s: %w", name, err)
	}
	l, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find veth %s: %w", name, err)
	}
	return l, nil
}

func deleteVeth(name string) error {
	l, err := device.Find(name)
	if err != nil || l == nil {
		return err
	}
	if err := netlink.LinkDel(l); err != nil && !device.IsGone(err) {
		return fmt.Errorf("delete veth %s: %w", name, err)
	}
	return nil
}

// settleHost makes the host side ready and sets it up. Only now can a packet pass, and only through the program.
func settleHost(e *entry, l netlink.Link, n Network) error {
	name := l.Attrs().Name
	if l.Attrs().Alias != e.alias() {
		if err := netlink.LinkSetAlias(l, e.alias()); err != nil {
			return fmt.Errorf("describe device %s: %w", name, err)
		}
	}
	h := &netlink.Handle{}
	if err := setMTU(h, l, n.MTU); err != nil {
		return err
	}
	if err := settleHostIPv6(name, n.speaksIPv6(e)); err != nil {
		return err
	}
	if err := device.EnableForwarding(name); err != nil {
		return err
	}
	if err := silence(h, l); err != nil {
		return err
	}
	if err := setUp(h, l); err != nil {
		return err
	}
	if e.mac == [6]byte{} {
		return fmt.Errorf("the hardware address inside %s is not known: detach the instance and attach it anew", name)
	}
	for _, ip := range n.addresses(e) {
		if err := ensureNeighbour(h, l.Attrs().Index, ip, e.mac[:]); err != nil {
			return err
		}
		// The host appears to containers as the gateway, whatever other addresses it has.
		route := netlink.Route{LinkIndex: l.Attrs().Index, Dst: host(ip), Src: n.GatewayIPv6.AsSlice()}
		if ip.Is4() {
			route.Src, route.Scope = n.Gateway.AsSlice(), netlink.SCOPE_LINK // IPv6 knows no scopes of routes
		}
		if err := ensureRoute(h, familyOf(ip), route); err != nil {
			return err
		}
	}
	return nil
}

// settleHostIPv6 has the host side speak IPv6 only if the endpoint does, and never by itself.
func settleHostIPv6(name string, speaks bool) error {
	if !speaks {
		return device.DisableIPv6(name)
	}
	if err := device.QuietIPv6(name); err != nil {
		return err
	}
	return device.EnableForwardingIPv6(name)
}
