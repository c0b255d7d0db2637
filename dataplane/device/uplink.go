// SPDX-License-Identifier: Apache-2.0

package device

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Overhead is what the tunnel adds to a packet, in bytes, over an IPv6 underlay: outer IPv6 40, UDP 8, VXLAN-GPE 8.
const Overhead = 56

// minMTU is the least that IPv4 hosts must take in whole (RFC 791).
const minMTU = 576

// ethernet is the link-layer type whose headers the programs expect before every packet.
const ethernet = "ether"

// Uplink is the device that leads to other workers.
type Uplink struct {
	Index int
	Name  string
	// Addr is its first global IPv4 address, AddrIPv6 its first global IPv6 one that is to stay. One of them may be missing.
	Addr, AddrIPv6 netip.Addr
	// MTU is its own, in bytes.
	MTU int
}

// InnerMTU is how long a packet can be, in bytes, that the tunnel carries as a whole over the uplink: to peers by IPv4 or, if overIPv6, by
// either family.
func (u Uplink) InnerMTU(overIPv6 bool) int {
	return max(u.MTU-bpf.Overhead(u.Addr.IsValid() && !overIPv6), minMTU)
}

// FindUplink returns the device called name or, if name is empty, the one with the default route of least metric, or else
// the only device that is up, has an address and is neither loopback nor this project's. A default route of IPv4 is looked for
// first.
func FindUplink(name string) (Uplink, error) {
	if name != "" {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return Uplink{}, fmt.Errorf("find uplink %s: %w: name one of this host's devices", name, err)
		}
		return describe(l)
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		index, err := defaultRoute(family)
		if err != nil {
			return Uplink{}, err
		}
		if index == 0 {
			continue
		}
		l, err := netlink.LinkByIndex(index)
		if err != nil {
			return Uplink{}, fmt.Errorf("find the default route's device: %w", err)
		}
		return describe(l)
	}
	return onlyCandidate()
}

// defaultRoute returns 0 if there is none.
func defaultRoute(family int) (ifindex int, err error) {
	routes, err := netlink.RouteList(nil, family)
	if err != nil {
		return 0, fmt.Errorf("list routes to find the uplink: %w", err)
	}
	best := -1
	for _, r := range routes {
		if r.Dst != nil {
			if ones, _ := r.Dst.Mask.Size(); ones != 0 {
				continue
			}
		}
		if r.LinkIndex != 0 && (best < 0 || r.Priority < best) {
			best, ifindex = r.Priority, r.LinkIndex
		}
	}
	return ifindex, nil
}

func onlyCandidate() (Uplink, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return Uplink{}, fmt.Errorf("list devices to find the uplink: %w", err)
	}
	var found []Uplink
	var names []string
	for _, l := range links {
		flags := l.Attrs().Flags
		if flags&net.FlagUp == 0 || flags&net.FlagLoopback != 0 || strings.HasPrefix(l.Attrs().Name, "oak-") {
			continue
		}
		if u, err := describe(l); err == nil {
			found, names = append(found, u), append(names, u.Name)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Uplink{}, errors.New("find the uplink: no device is up and has a global address: configure one, or name it with --uplink")
	}
	return Uplink{}, fmt.Errorf("find the uplink: no default route, and several devices could be it (%s): name one with --uplink", strings.Join(names, ", "))
}

func describe(l netlink.Link) (Uplink, error) {
	u := Uplink{Index: l.Attrs().Index, Name: l.Attrs().Name, MTU: l.Attrs().MTU}
	if kind := l.Attrs().EncapType; kind != ethernet {
		return u, fmt.Errorf("uplink %s carries no Ethernet frames (%s), such as a VPN's device: name another one with --uplink", u.Name, kind)
	}
	addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return u, fmt.Errorf("list addresses of uplink %s: %w", u.Name, err)
	}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		switch ip = ip.Unmap(); {
		case !ok || !ip.IsGlobalUnicast():
		case ip.Is4() && !u.Addr.IsValid():
			u.Addr = ip
		case ip.Is6() && !u.AddrIPv6.IsValid() && a.Flags&passing == 0:
			u.AddrIPv6 = ip
		}
	}
	if !u.Addr.IsValid() && !u.AddrIPv6.IsValid() {
		return u, fmt.Errorf("uplink %s has no global address: give it one", u.Name)
	}
	return u, nil
}

// passing are the marks of IPv6 addresses that others should not be told: of privacy extensions, not yet usable, or about to go.
const passing = unix.IFA_F_TEMPORARY | unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED
