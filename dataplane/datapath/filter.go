// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// filterPriority and filterHandle name our filter among those of others: first, and the same at every start.
const (
	filterPriority = 1
	filterHandle   = 0x6f61 // "oa"
	// frontHandle is of the filter that is in front of it for a moment: of one priority, the kernel asks the last that was added first.
	frontHandle = 0x6f62
)

func filterParent(kind string) uint32 {
	if direction(kind) == ebpf.AttachTCXEgress {
		return netlink.HANDLE_MIN_EGRESS
	}
	return netlink.HANDLE_MIN_INGRESS
}

// attachFilter is for kernels without tcx: a clsact queueing discipline and a direct-action filter, replaced atomically.
func attachFilter(kind string, ifindex int, prog *ebpf.Program) error {
	qdisc := &netlink.GenericQdisc{
		QdiscType:  "clsact",
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
	}
	if err := netlink.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add clsact: %w", err)
	}
	return replaceFilter(newFilter(kind, ifindex, filterHandle, prog))
}

func newFilter(kind string, ifindex int, handle uint32, prog *ebpf.Program) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex,
			Parent:    filterParent(kind),
			Handle:    handle,
			Priority:  filterPriority,
			Protocol:  unix.ETH_P_ALL,
		},
		Fd:           prog.FD(),
		Name:         "oak_" + kind,
		DirectAction: true,
	}
}

func replaceFilter(f netlink.Filter) error {
	if err := netlink.FilterReplace(f); err != nil {
		return fmt.Errorf("replace filter: %w", err)
	}
	return nil
}

// detachFilter removes our filter, not the queueing discipline, which others may use. Kinds that share a hook never share an
// interface, so that the hook alone is enough.
func detachFilter(kind string, ifindex int) error {
	link, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return nil //nolint:nilerr // with the interface its filters are gone
	}
	filters, err := netlink.FilterList(link, filterParent(kind))
	if err != nil {
		return fmt.Errorf("list filters: %w", err)
	}
	for _, f := range filters {
		if bpf, ok := f.(*netlink.BpfFilter); ok && bpf.Name == "oak_"+kind {
			if err := netlink.FilterDel(f); err != nil {
				return fmt.Errorf("delete filter: %w", err)
			}
		}
	}
	return nil
}

// upgradeFilters gives every filter of ours in this network namespace the program of its kind.
func upgradeFilters(programs map[string]*ebpf.Program) error {
	return eachFilter(programs, func(kind string, link netlink.Link) error {
		return attachFilter(kind, link.Attrs().Index, programs[kind])
	})
}

// frontFilters adds a filter in front of every one of ours whose kind has a program. One that a start has left which was broken off is replaced.
func frontFilters(programs map[string]*ebpf.Program) (away func() error, err error) {
	var added []netlink.Filter
	away = func() error {
		var errs []error
		for _, f := range added {
			if err := netlink.FilterDel(f); err != nil {
				errs = append(errs, fmt.Errorf("delete the filter in front: %w", err))
			}
		}
		added = nil
		return errors.Join(errs...)
	}
	err = eachFilter(programs, func(kind string, link netlink.Link) error {
		f := newFilter(kind, link.Attrs().Index, frontHandle, programs[kind])
		f.Name = "oak_front_" + kind
		if err := replaceFilter(f); err != nil {
			return err
		}
		added = append(added, f)
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, away())
	}
	return away, nil
}

// eachFilter calls f for every filter of ours in this network namespace that is of one of these kinds.
func eachFilter(kinds map[string]*ebpf.Program, f func(kind string, link netlink.Link) error) error {
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		for kind := range kinds {
			if kind == kindXDP {
				continue
			}
			filters, err := netlink.FilterList(l, filterParent(kind))
			if err != nil {
				continue // gone since, or without a clsact
			}
			for _, filter := range filters {
				ours, ok := filter.(*netlink.BpfFilter)
				if !ok || ours.Name != "oak_"+kind {
					continue
				}
				if err := f(kind, l); err != nil {
					return fmt.Errorf("%s program of %s: %w", kind, l.Attrs().Name, err)
				}
			}
		}
	}
	return nil
}
