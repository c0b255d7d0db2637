// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// hooks attaches programs to the tc hooks of interfaces: by tcx links, pinned, where the kernel has them (6.6), by clsact filters
// else. An attachment is known by its kind and interface.
type hooks struct {
	dir        string // of pinned links
	tcx        bool
	cards      cards
	cardDecaps bool // the programs of cards take outer headers off
	log        *slog.Logger
}

func direction(kind string) ebpf.AttachType {
	if kind == kindUplinkOut {
		return ebpf.AttachTCXEgress
	}
	return ebpf.AttachTCXIngress
}

func (h *hooks) pin(kind string, ifindex int) string {
	return filepath.Join(h.dir, kind+"-"+strconv.Itoa(ifindex))
}

// attach makes sure that the interface has this program on the kind's hook.
func (h *hooks) attach(kind string, ifindex int, prog *ebpf.Program) error {
	if !h.tcx {
		return attachFilter(kind, ifindex, prog)
	}
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return fmt.Errorf("create folder of pinned links: %w", err)
	}
	path := h.pin(kind, ifindex)
	if l, err := link.LoadPinnedLink(path, nil); err == nil {
		defer l.Close()
		if attachedTo(l, ifindex) {
			return updateLink(l, prog)
		}
		// The interface is gone and its number was given away again.
		if err := l.Unpin(); err != nil {
			return fmt.Errorf("remove stale link: %w", err)
		}
	}
	l, err := link.AttachTCX(link.TCXOptions{
		Interface: ifindex,
		Program:   prog,
		Attach:    direction(kind),
		// Before whatever a person or another program has put there.
		Anchor: link.Head(),
	})
	if err != nil {
		return fmt.Errorf("create link: %w", err)
	}
	defer l.Close()
	if err := l.Pin(path); err != nil {
		return fmt.Errorf("pin link: %w", err)
	}
	return nil
}

// attachedTo reports whether the link still hangs on the interface: the kernel gives a link whose interface is gone number 0.
func attachedTo(l link.Link, ifindex int) bool {
	info, err := l.Info()
	if err != nil {
		return false
	}
	if xdp := info.XDP(); xdp != nil {
		return int(xdp.Ifindex) == ifindex
	}
	tcx := info.TCX()
	return tcx != nil && int(tcx.Ifindex) == ifindex
}

func updateLink(l link.Link, prog *ebpf.Program) error {
	if err := l.Update(prog); err != nil {
		return fmt.Errorf("replace the link's program: %w", err)
	}
	return nil
}

// detach removes one attachment, if there is one.
func (h *hooks) detach(kind string, ifindex int) error {
	if kind == kindXDP {
		return h.detachXDP(ifindex)
	}
	if !h.tcx {
		return detachFilter(kind, ifindex)
	}
	l, err := link.LoadPinnedLink(h.pin(kind, ifindex), nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open link: %w", err)
	}
	defer l.Close()
	if err := l.Unpin(); err != nil {
		return fmt.Errorf("unpin link: %w", err)
	}
	return nil
}

// ofCards and notOfCards choose among kinds of attachment.
func ofCards(kind string) bool    { return kind == kindXDP }
func notOfCards(kind string) bool { return kind != kindXDP }

// each calls f for every pinned link of the wanted kinds.
func (h *hooks) each(wanted func(kind string) bool, f func(kind string, ifindex int, l link.Link) error) error {
	entries, err := os.ReadDir(h.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list pinned links: %w", err)
	}
	for _, entry := range entries {
		kind, number, ok := strings.Cut(entry.Name(), "-")
		ifindex, err := strconv.Atoi(number)
		if !ok || err != nil || !wanted(kind) {
			continue
		}
		l, err := link.LoadPinnedLink(filepath.Join(h.dir, entry.Name()), nil)
		if err != nil {
			return fmt.Errorf("open link %s: %w", entry.Name(), err)
		}
		err = f(kind, ifindex, l)
		_ = l.Close()
		if err != nil {
			return fmt.Errorf("link %s: %w", entry.Name(), err)
		}
	}
	return nil
}

// upgrade gives every pinned link the program of its kind, and removes links whose interface is gone. A card's program that takes outer
// headers off never runs in front of an uplink's that does not expect that.
func (h *hooks) upgrade(programs map[string]*ebpf.Program) error {
	behind := func() error {
		if !h.tcx {
			if err := upgradeFilters(programs); err != nil {
				return err
			}
		}
		return h.upgradeLinks(notOfCards, programs)
	}
	if h.cardDecaps {
		if err := behind(); err != nil {
			return err
		}
		return h.upgradeLinks(ofCards, programs)
	}
	if err := h.upgradeLinks(ofCards, programs); err != nil {
		return err
	}
	return behind()
}

func (h *hooks) upgradeLinks(wanted func(kind string) bool, programs map[string]*ebpf.Program) error {
	return h.each(wanted, func(kind string, ifindex int, l link.Link) error {
		prog, ok := programs[kind]
		if _, err := netlink.LinkByIndex(ifindex); !ok || err != nil || !attachedTo(l, ifindex) {
			h.log.Info("removing a link without an interface", "kind", kind, "ifindex", ifindex)
			return l.Unpin()
		}
		return updateLink(l, prog)
	})
}

// front attaches the programs of the kinds that are named in front of those that are attached already. What it returns takes them away again;
// while there are pinned links, so does the end of this process.
func (h *hooks) front(programs map[string]*ebpf.Program) (away func() error, err error) {
	if !h.tcx {
		return frontFilters(programs)
	}
	var links []link.Link
	away = func() error {
		var errs []error
		for _, l := range links {
			errs = append(errs, l.Close())
		}
		links = nil
		return errors.Join(errs...)
	}
	err = h.each(notOfCards, func(kind string, ifindex int, l link.Link) error {
		prog, ok := programs[kind]
		if !ok || !attachedTo(l, ifindex) {
			return nil
		}
		first, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: prog, Attach: direction(kind), Anchor: link.BeforeLink(l)})
		if err != nil {
			return fmt.Errorf("attach a program in front: %w", err)
		}
		links = append(links, first)
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, away())
	}
	return away, nil
}

// removeAll detaches everything, from the wire inwards.
func (h *hooks) removeAll() error {
	for _, wanted := range []func(string) bool{ofCards, notOfCards} {
		if err := h.each(wanted, func(_ string, _ int, l link.Link) error { return l.Unpin() }); err != nil {
			return err
		}
	}
	return nil
}
