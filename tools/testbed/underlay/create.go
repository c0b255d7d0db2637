// SPDX-License-Identifier: Apache-2.0

package underlay

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Create makes the bridge and the hosts, whose addresses are of the family; routers stand before those that are behind them. What it has made before an error is left for [Delete].
func Create(f Family, hosts []Host) error {
	if err := makeNS(hub); err != nil {
		return err
	}
	if err := In(hub, makeBridge); err != nil {
		return err
	}
	if err := connectMachine(f); err != nil {
		return err
	}
	for _, h := range hosts {
		if err := connect(f, h); err != nil {
			return err
		}
	}
	return nil
}

func makeBridge() error {
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}}
	if err := netlink.LinkAdd(br); err != nil {
		return fmt.Errorf("make the underlay's bridge: %w", err)
	}
	if err := netlink.LinkSetUp(br); err != nil {
		return fmt.Errorf("set up the underlay's bridge: %w", err)
	}
	return nil
}

// connectMachine joins the machine itself to the bridge.
func connectMachine(f Family) error {
	ns, err := netns.GetFromPath(Path(hub))
	if err != nil {
		return fmt.Errorf("open the underlay's namespace: %w", err)
	}
	defer func() { _ = ns.Close() }()
	pair := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: machineLink},
		PeerName:      machinePort,
		PeerNamespace: netlink.NsFd(ns),
	}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("make the machine's link %s to the underlay: %w", machineLink, err)
	}
	if err := address(machineLink, f.Machine, f.Network.Bits()); err != nil {
		return err
	}
	return In(hub, func() error { return plug(machinePort) })
}

// Add makes one host more, or one that was removed again.
func Add(f Family, h Host) error { return connect(f, h) }

// connect makes host and joins it to the bridge.
func connect(f Family, h Host) error {
	if len(h.Name) > maxName || h.Name == hub || h.Name == machinePort {
		return fmt.Errorf("make host %q: its name is taken or longer than %d characters", h.Name, maxName)
	}
	if err := makeNS(h.Name); err != nil {
		return err
	}
	ns, err := netns.GetFromPath(Path(h.Name))
	if err != nil {
		return fmt.Errorf("open the network namespace of host %s: %w", h.Name, err)
	}
	defer func() { _ = ns.Close() }()
	if h.Router != "" {
		f = Home
	}
	err = In(h.switchOf(), func() error {
		pair := &netlink.Veth{
			LinkAttrs:        netlink.LinkAttrs{Name: h.Name},
			PeerName:         Uplink,
			PeerHardwareAddr: hardware(h.Address),
			PeerNamespace:    netlink.NsFd(ns),
		}
		if err := netlink.LinkAdd(pair); err != nil {
			return fmt.Errorf("make the link of host %s: %w", h.Name, err)
		}
		return plug(h.Name)
	})
	if err != nil {
		return err
	}
	return In(h.Name, func() error {
		if err := configure(f, h); err != nil || !h.Routes {
			return err
		}
		return beRouter()
	})
}

// hardware is the hardware address of a host. It follows from the other one, so that a host that comes back has the one that its neighbours
// remember, as a machine has after a reboot.
func hardware(a netip.Addr) net.HardwareAddr {
	raw := a.AsSlice()
	return append(net.HardwareAddr{0x02, 0x0a}, raw[len(raw)-4:]...)
}

// plug makes the named link of this namespace a port of the bridge.
func plug(name string) error {
	br, err := netlink.LinkByName(bridgeName)
	if err != nil {
		return fmt.Errorf("find the underlay's bridge: %w", err)
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find bridge port %s: %w", name, err)
	}
	if err := netlink.LinkSetMaster(link, br); err != nil {
		return fmt.Errorf("plug %s into the bridge: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set up bridge port %s: %w", name, err)
	}
	return nil
}

// configure gives this namespace what a freshly booted host has: loopback, an address, a default route, forwarding.
func configure(f Family, h Host) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback of host %s: %w", h.Name, err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set up the loopback of host %s: %w", h.Name, err)
	}
	if err := address(Uplink, h.Address, f.Network.Bits()); err != nil {
		return fmt.Errorf("host %s: %w", h.Name, err)
	}
	if err := netlink.RouteAdd(&netlink.Route{Gw: net.IP(f.Machine.AsSlice())}); err != nil {
		return fmt.Errorf("add the default route of host %s: %w", h.Name, err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("switch forwarding on in host %s: %w", h.Name, err)
	}
	return nil
}

// address gives the named link of this namespace an address of the underlay and sets it up.
func address(name string, a netip.Addr, bits int) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	ipnet := &net.IPNet{IP: net.IP(a.AsSlice()), Mask: net.CIDRMask(bits, a.BitLen())}
	addr := &netlink.Addr{IPNet: ipnet}
	if a.Is6() {
		addr.Flags = unix.IFA_F_NODAD // nobody else has it, and it is wanted at once
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("give link %s the address %s: %w", name, a, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set up link %s: %w", name, err)
	}
	return nil
}
