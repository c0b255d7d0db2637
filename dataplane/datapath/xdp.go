// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// attachXDP lets an uplink's card drop junk and strangers before the kernel makes packets of them. It spares work alone: without it the
// uplink's program drops the same, so that a driver that cannot, or will not at this MTU, is no error.
func (d *Datapath) attachXDP(ifindex int) {
	l, err := netlink.LinkByIndex(ifindex)
	// Of a veth, a bridge or a bond the kernel's own way is faster.
	if err != nil || l.Type() != "device" {
		return
	}
	if err := d.hooks.attachXDP(ifindex, d.progs.XDP, link.XDPDriverMode); err != nil {
		d.log.Info("the uplink's driver runs no XDP program: its packets are judged later", "device", l.Attrs().Name, "error", err)
	}
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
