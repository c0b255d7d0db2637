// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Cable joins two namespaces by a veth pair that is up.
func Cable(a *Namespace, nameA string, b *Namespace, nameB string, mtu int) error {
	err := a.Links(func(h *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = nameA, mtu
		if err := h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(int(b.handle)), PeerMTU: uint32(mtu)}); err != nil {
			return fmt.Errorf("create veth %s: %w", nameA, err)
		}
		return Up(h, nameA)
	})
	if err != nil {
		return err
	}
	return b.Links(func(h *netlink.Handle) error { return Up(h, nameB) })
}

// Up sets a device up.
func Up(h *netlink.Handle, name string) error {
	l, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find device %s: %w", name, err)
	}
	if err := h.LinkSetUp(l); err != nil {
		return fmt.Errorf("set device %s up: %w", name, err)
	}
	return nil
}

// AddAddress gives a device an address, at once valid.
func AddAddress(h *netlink.Handle, device string, p netip.Prefix) error {
	l, err := h.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find device %s: %w", device, err)
	}
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	if err := h.AddrAdd(l, a); err != nil {
		return fmt.Errorf("give device %s the address %s: %w", device, p, err)
	}
	return nil
}

// AddRoute makes a route; without a gateway the destination is on the device's link.
func AddRoute(h *netlink.Handle, device string, to netip.Prefix, via netip.Addr) error {
	l, err := h.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find device %s: %w", device, err)
	}
	r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(to)}
	if via.IsValid() {
		r.Gw, r.Flags = via.AsSlice(), unix.RTNH_F_ONLINK
	} else {
		r.Scope = netlink.SCOPE_LINK
	}
	if err := h.RouteReplace(r); err != nil {
		return fmt.Errorf("route %s over %s: %w", to, device, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Features changes offloads of a device and returns what they all are now. A feature that the device lacks or cannot change is left.
func (n *Namespace) Features(device string, change map[string]bool) (now map[string]bool, err error) {
	err = n.Do(func() error {
		e, err := ethtool.NewEthtool()
		if err != nil {
			return fmt.Errorf("open ethtool: %w", err)
		}
		defer e.Close()
		if len(change) > 0 {
			if err := e.Change(device, change); err != nil {
				return fmt.Errorf("change the features of %s: %w", device, err)
			}
		}
		if now, err = e.Features(device); err != nil {
			return fmt.Errorf("read the features of %s: %w", device, err)
		}
		return nil
	})
	return now, err
}
