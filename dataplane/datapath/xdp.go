// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/bpf/features"
)

// cards is what runs the programs of uplinks' cards.
type cards int

const (
	cardsPhysical cards = iota
	// Of tests alone: the kernel, or the driver, for any device.
	cardsGeneric
	cardsAny
)

// attachXDP lets an uplink's card drop junk and strangers before the kernel makes packets of them, and take outer headers off if it is to.
// It spares work alone: without it the uplink's program does the same, so that a driver that cannot, or will not at this MTU, is no error.
// It returns what became of it.
func (d *Datapath) attachXDP(ifindex int) features.Uplink {
	u := features.Uplink{Ifindex: ifindex, XDP: features.XDPOff}
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		u.Why = err.Error()
		return u
	}
	u.Name = l.Attrs().Name
	mode := link.XDPDriverMode
	u.XDP = features.XDPNative
	if d.hooks.cards == cardsGeneric {
		mode, u.XDP = link.XDPGenericMode, features.XDPGeneric
	}
	// Of a veth, a bridge or a bond the kernel's own way is faster.
	if d.hooks.cards == cardsPhysical && l.Type() != "device" {
		u.XDP = features.XDPOff
		u.Why = "it is a " + l.Type() + ", whose packets would only take longer"
		return u
	}
	if err := d.hooks.attachXDP(ifindex, d.progs.XDP, mode); err != nil {
		u.XDP, u.Why = features.XDPOff, err.Error()
		d.log.Info("the uplink's driver runs no XDP program: its packets are judged later", "device", u.Name, "error", err)
		return u
	}
	u.Decap = d.hooks.cardDecaps
	return u
}

// noteUplink leaves behind for others to look at what became of an uplink's card.
func (d *Datapath) noteUplink(u features.Uplink) {
	d.record.Lock()
	defer d.record.Unlock()
	d.found.Uplinks = append(without(d.found.Uplinks, u.Ifindex), u)
	d.writeFeatures()
}

func (d *Datapath) forgetUplink(ifindex int) {
	d.record.Lock()
	defer d.record.Unlock()
	if left := without(d.found.Uplinks, ifindex); len(left) < len(d.found.Uplinks) {
		d.found.Uplinks = left
		d.writeFeatures()
	}
}

// without copies the list, which others may be reading.
func without(all []features.Uplink, ifindex int) []features.Uplink {
	return slices.DeleteFunc(slices.Clone(all), func(u features.Uplink) bool { return u.Ifindex == ifindex })
}

// attachXDP makes sure that the interface has this program.
func (h *hooks) attachXDP(ifindex int, prog *ebpf.Program, mode link.XDPAttachFlags) error {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return fmt.Errorf("create folder of pinned links: %w", err)
	}
	path := h.pin(kindXDP, ifindex)
	if l, err := link.LoadPinnedLink(path, nil); err == nil {
		defer l.Close()
		if attachedTo(l, ifindex) {
			return updateLink(l, prog)
		}
		if err := l.Unpin(); err != nil {
			return fmt.Errorf("remove stale link: %w", err)
		}
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: ifindex, Flags: mode})
	if err != nil {
		return fmt.Errorf("create XDP link: %w", err)
	}
	defer l.Close()
	if err := l.Pin(path); err != nil {
		return fmt.Errorf("pin XDP link: %w", err)
	}
	return nil
}

// detachXDP removes the attachment, if there is one, whatever holds the others.
func (h *hooks) detachXDP(ifindex int) error {
	l, err := link.LoadPinnedLink(h.pin(kindXDP, ifindex), nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open XDP link: %w", err)
	}
	defer l.Close()
	if err := l.Unpin(); err != nil {
		return fmt.Errorf("unpin XDP link: %w", err)
	}
	return nil
}
