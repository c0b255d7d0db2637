// SPDX-License-Identifier: Apache-2.0

package bare

import (
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// attachTo puts a program on a device's ingress: by a tcx link or, before Linux 6.6, by a filter, as this project's own are.
func attachTo(ifindex int, p *ebpf.Program) (io.Closer, error) {
	l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: p, Attach: ebpf.AttachTCXIngress})
	if errors.Is(err, ebpf.ErrNotSupported) {
		return attachFilter(ifindex, p)
	}
	return l, err
}

// clsact is a queueing discipline that does nothing but carry filters. They go with it.
type clsact struct{ *netlink.GenericQdisc }

func attachFilter(ifindex int, p *ebpf.Program) (io.Closer, error) {
	q := clsact{&netlink.GenericQdisc{
		QdiscType:  "clsact",
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
	}}
	if err := netlink.QdiscAdd(q); err != nil {
		return nil, fmt.Errorf("add clsact: %w", err)
	}
	if err := netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: ifindex, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
		Fd:          p.FD(), Name: "bare", DirectAction: true,
	}); err != nil {
		return nil, errors.Join(fmt.Errorf("add a filter: %w", err), q.Close())
	}
	return q, nil
}

// Close takes it off with its filter.
func (q clsact) Close() error {
	if err := netlink.QdiscDel(q); err != nil {
		return fmt.Errorf("remove clsact: %w", err)
	}
	return nil
}
