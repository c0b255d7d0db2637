// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/tools/bench/lab"
)

// NewHosts has client and server on the workers themselves. There are no servers on the client's own worker.
func NewHosts(l *lab.Lab, name string) (*Pair, error) {
	p, err := NewPair(l, name)
	if err != nil {
		return nil, err
	}
	p.Client, p.Servers[Other] = p.A, []*lab.Namespace{p.B}
	return p, Tune(p.Client)
}

// ContainerAddress is that of the n-th container of a worker, the client being A's first.
func ContainerAddress(worker, n int, ipv6 bool) netip.Addr {
	if ipv6 {
		return netip.MustParseAddr(fmt.Sprintf("fd00:10:244:%d::%d", worker+1, n+2))
	}
	return netip.AddrFrom4([4]byte{10, 244, byte(worker + 1), byte(n + 2)})
}

// gateway is a worker's address towards its containers.
func gateway(worker int, ipv6 bool) netip.Addr { return ContainerAddress(worker, -1, ipv6) }

// subnet holds a worker's containers.
func subnet(worker int, ipv6 bool) netip.Prefix {
	bits := 24
	if ipv6 {
		bits = 64
	}
	return netip.PrefixFrom(gateway(worker, ipv6), bits).Masked()
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// NewRouted has containers behind veths and routes between them: no overlay and no service.
func NewRouted(l *lab.Lab, name string, instances int) (*Pair, error) {
	p, err := NewPair(l, name)
	if err != nil {
		return nil, err
	}
	for i, w := range []*lab.Namespace{p.A, p.B} {
		err := w.Links(func(h *netlink.Handle) error {
			return errors.Join(lab.AddRoute(h, Uplink, subnet(1-i, false), Outer(1-i, false)), lab.AddRoute(h, Uplink, subnet(1-i, true), Outer(1-i, true)))
		})
		if err != nil {
			return nil, err
		}
	}
	return p, p.populate(instances, p.plugRouted)
}

// populate makes the client and the servers of both workers; plug wires a container to its worker.
func (p *Pair) populate(instances int, plug func(worker, n int, c *lab.Namespace) error) error {
	make := func(worker, n int, name string) (*lab.Namespace, error) {
		c, err := p.Container(name)
		if err != nil {
			return nil, err
		}
		if err := plug(worker, n, c); err != nil {
			return nil, fmt.Errorf("wire container %s: %w", name, err)
		}
		return c, nil
	}
	var err error
	if p.Client, err = make(0, 0, "client"); err != nil {
		return err
	}
	for i := range instances {
		same, err := make(0, i+1, fmt.Sprintf("same%d", i))
		if err != nil {
			return err
		}
		other, err := make(1, i+1, fmt.Sprintf("other%d", i))
		if err != nil {
			return err
		}
		p.Servers[Same], p.Servers[Other] = append(p.Servers[Same], same), append(p.Servers[Other], other)
	}
	return Tune(p.Client)
}

func (p *Pair) worker(i int) *lab.Namespace { return []*lab.Namespace{p.A, p.B}[i] }

func (p *Pair) plugRouted(worker, n int, c *lab.Namespace) error {
	w, device := p.worker(worker), fmt.Sprintf("veth%d", n)
	if err := lab.Cable(w, device, c, "eth0", UnderlayMTU); err != nil {
		return err
	}
	return p.forBoth(func(ipv6 bool) error {
		own, gw := ContainerAddress(worker, n, ipv6), gateway(worker, ipv6)
		err := w.Links(func(h *netlink.Handle) error {
			return errors.Join(lab.AddAddress(h, device, host(gw)), lab.AddRoute(h, device, host(own), netip.Addr{}))
		})
		if err != nil {
			return err
		}
		return c.Links(func(h *netlink.Handle) error {
			return errors.Join(lab.AddAddress(h, "eth0", host(own)), lab.AddRoute(h, "eth0", host(gw), netip.Addr{}),
				lab.AddRoute(h, "eth0", anywhere(ipv6), gw))
		})
	})
}

func (p *Pair) forBoth(f func(ipv6 bool) error) error { return errors.Join(f(false), f(true)) }

func anywhere(ipv6 bool) netip.Prefix {
	if ipv6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}
