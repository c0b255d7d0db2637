// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/tools/bench/bare"
	"github.com/oakestra/oakestra-ebpf/tools/bench/lab"
)

// NewBare has the containers of [NewRouted], whose IPv4 packets two programs carry that know where each of them is.
func NewBare(l *lab.Lab, name string, instances int) (*Pair, error) {
	p, err := NewRouted(l, name, instances)
	if err != nil {
		return nil, err
	}
	for _, c := range append(append([]*lab.Namespace{p.Client}, p.Servers[Same]...), p.Servers[Other]...) {
		err := c.Links(func(h *netlink.Handle) error {
			eth0, err := h.LinkByName("eth0")
			if err != nil {
				return fmt.Errorf("find device eth0: %w", err)
			}
			if err := h.LinkSetMTU(eth0, UnderlayMTU-bare.Overhead); err != nil {
				return fmt.Errorf("set the MTU of eth0: %w", err)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return p, errors.Join(p.carry(0, 0, instances), p.carry(1, 1, instances))
}

// carry attaches the programs of a worker, whose containers have the numbers from first to last.
func (p *Pair) carry(worker, first, last int) error {
	w := bare.Worker{Own: Outer(worker, false), Other: Outer(1-worker, false), Subnet: subnet(worker, false), Here: map[netip.Addr]int{}}
	err := p.worker(worker).Links(func(h *netlink.Handle) error {
		up, err := h.LinkByName(Uplink)
		if err != nil {
			return fmt.Errorf("find device %s: %w", Uplink, err)
		}
		w.Uplink = up.Attrs().Index
		for n := first; n <= last; n++ {
			name := fmt.Sprintf("veth%d", n)
			l, err := h.LinkByName(name)
			if err != nil {
				return fmt.Errorf("find device %s: %w", name, err)
			}
			w.Here[ContainerAddress(worker, n, false)] = l.Attrs().Index
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.worker(worker).Do(func() error {
		attached, err := bare.Attach(w)
		if err == nil {
			p.attached = append(p.attached, attached)
		}
		return err
	})
}
