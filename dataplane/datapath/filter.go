// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"errors"
	"fmt"
	"math"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// probeIfindex is the number of an interface that does not exist.
const probeIfindex = math.MaxInt32

// filterPriority and filterHandle name our filter among those of others: first, and the same at every start.
const (
	filterPriority = 1
	filterHandle   = 0x6f61 // "oa"
)

// noop returns a program that does nothing, to probe with.
func noop() *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{
		Type:         ebpf.SchedCLS,
		License:      "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	}
}

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
	filter := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex,
			Parent:    filterParent(kind),
			Handle:    filterHandle,
			Priority:  filterPriority,
			Protocol:  unix.ETH_P_ALL,
		},
		Fd:           prog.FD(),
		Name:         "oak_" + kind,
		DirectAction: true,
	}
	if err := netlink.FilterReplace(filter); err != nil {
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
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		for kind, prog := range programs {
			if kind == kindXDP {
				continue
			}
			filters, err := netlink.FilterList(l, filterParent(kind))
			if err != nil {
				continue // gone since, or without a clsact
			}
			for _, f := range filters {
				if ours, ok := f.(*netlink.BpfFilter); !ok || ours.Name != "oak_"+kind {
					continue
				}
				if err := attachFilter(kind, l.Attrs().Index, prog); err != nil {
					return fmt.Errorf("%s program of %s: %w", kind, l.Attrs().Name, err)
				}
			}
		}
	}
	return nil
}
