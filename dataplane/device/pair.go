// SPDX-License-Identifier: Apache-2.0

package device

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// EnsureUpcall makes the upcall pair, without addresses, and sets it up.
func EnsureUpcall() (up0, up1 int, err error) {
	a, b, err := ensurePair(Upcall0, Upcall1, upcallMTU)
	if err != nil {
		return 0, 0, err
	}
	for _, l := range []netlink.Link{a, b} {
		if err := errors.Join(DisableIPv6(l.Attrs().Name), setUp(l)); err != nil {
			return 0, 0, err
		}
	}
	return a.Attrs().Index, b.Attrs().Index, nil
}

// ensurePair makes the veth pair name–far, both ends with the MTU mtu. New ones are down, so that what they speak can be settled
// before they do.
func ensurePair(name, far string, mtu int) (a, b netlink.Link, err error) {
	a, b, err = findPair(name, far)
	if err != nil {
		return nil, nil, err
	}
	if a == nil {
		if a, b, err = createPair(name, far, mtu); err != nil {
			return nil, nil, err
		}
	}
	for _, l := range []netlink.Link{a, b} {
		if l.Attrs().MTU == mtu {
			continue
		}
		if err := netlink.LinkSetMTU(l, mtu); err != nil {
			return nil, nil, fmt.Errorf("set the MTU of %s to %d: %w", l.Attrs().Name, mtu, err)
		}
	}
	return a, b, nil
}

// findPair returns nil links if there is no such pair. A device that has one of the names but is something else is removed:
// the names are this project's.
func findPair(name, far string) (a, b netlink.Link, err error) {
	if a, err = Find(name); err != nil {
		return nil, nil, err
	}
	if b, err = Find(far); err != nil {
		return nil, nil, err
	}
	if a != nil && b != nil && a.Type() == "veth" && a.Attrs().ParentIndex == b.Attrs().Index {
		return a, b, nil
	}
	for _, l := range []netlink.Link{a, b} {
		if l == nil {
			continue
		}
		if err := netlink.LinkDel(l); err != nil && !IsGone(err) {
			return nil, nil, fmt.Errorf("remove %s, which is not the wanted veth: %w", l.Attrs().Name, err)
		}
	}
	return nil, nil, nil
}

func createPair(name, far string, mtu int) (a, b netlink.Link, err error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.MTU = mtu
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: far}); err != nil {
		return nil, nil, fmt.Errorf("create veth pair %s and %s: %w", name, far, err)
	}
	a, errA := netlink.LinkByName(name)
	b, errB := netlink.LinkByName(far)
	if err := errors.Join(errA, errB); err != nil {
		return nil, nil, fmt.Errorf("find veth pair %s and %s: %w", name, far, err)
	}
	for _, l := range []netlink.Link{a, b} {
		// Whom these devices lead to is known. They ask nobody, and IPv6 joins no groups on them.
		if err := netlink.LinkSetARPOff(l); err != nil {
			return nil, nil, fmt.Errorf("turn neighbour discovery of %s off: %w", l.Attrs().Name, err)
		}
	}
	return a, b, nil
}
