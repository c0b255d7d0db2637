// SPDX-License-Identifier: Apache-2.0

package pins

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// filterPrefix is what the names of NetManager's filters begin with; the kind follows.
const filterPrefix = "oak_"

// filters finds attachments that are clsact filters. Unlike links they are not pinned, and show only in their own namespace.
func filters() ([]Attachment, error) {
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out []Attachment
	for _, l := range links {
		for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
			found, err := netlink.FilterList(l, parent)
			if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) || errors.Is(err, os.ErrNotExist) {
				continue // gone since, or without a clsact
			}
			if err != nil {
				return nil, fmt.Errorf("list filters of %s: %w", l.Attrs().Name, err)
			}
			for _, f := range found {
				filter, ok := f.(*netlink.BpfFilter)
				if !ok {
					continue
				}
				kind, ours := strings.CutPrefix(filter.Name, filterPrefix)
				if !ours || (kind == egress) != (parent == netlink.HANDLE_MIN_EGRESS) {
					continue
				}
				a := Attachment{Kind: kind, Ifindex: l.Attrs().Index, Interface: l.Attrs().Name}
				if err := a.describe(ebpf.ProgramID(filter.Id)); err != nil {
					return nil, err
				}
				out = append(out, a)
			}
		}
	}
	return out, nil
}
