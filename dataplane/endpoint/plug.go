// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/dataplane/device"
)

// plug makes everything that an endpoint needs in the kernel, in the order in which no packet can pass unseen: the pair,
// down; its program; its map entries; then the host side up; then the inside. What is right already is not touched.
func (s *Set) plug(e *entry, ns namespace) error {
	host, inner, err := s.pair(e, ns)
	if err != nil {
		return err
	}
	if err := s.adopt(e, host, inner); err != nil {
		return err
	}
	return ns.settleInside(e, inner, s.network)
}

// adopt does all of plug that is outside the endpoint's namespace. inner may be nil: then the entry's mac stays.
func (s *Set) adopt(e *entry, host, inner netlink.Link) error {
	e.ifindex = host.Attrs().Index
	copy(e.hostMAC[:], host.Attrs().HardwareAddr)
	if inner != nil {
		copy(e.mac[:], inner.Attrs().HardwareAddr)
	}
	if err := s.cfg.Datapath.AttachContainer(e.ifindex); err != nil {
		return fmt.Errorf("attach the program of %s: %w", e.Interface, err)
	}
	if err := s.writeMaps(e); err != nil {
		return err
	}
	return settleHost(e, host, s.network)
}

// pair finds the endpoint's veth or makes it. One that leads elsewhere is a leftover and is replaced.
func (s *Set) pair(e *entry, ns namespace) (host, inner netlink.Link, err error) {
	host, err = device.Find(e.Interface)
	if err != nil {
		return nil, nil, err
	}
	if host != nil {
		if inner, err = ns.inner(host); err != nil {
			return nil, nil, err
		}
		if inner != nil {
			return host, inner, nil
		}
		index := host.Attrs().Index
		if err := errors.Join(s.removeDevice(e.Interface, index), s.cfg.Maps.Endpoints.Delete(uint32(index))); err != nil {
			return nil, nil, err
		}
	}
	if host, err = createVeth(e.Interface, s.network.MTU, ns); err != nil {
		return nil, nil, err
	}
	if inner, err = ns.inner(host); err != nil {
		return nil, nil, err
	}
	if inner == nil {
		return nil, nil, fmt.Errorf("find the inside of veth %s: it is gone again", e.Interface)
	}
	return host, inner, nil
}

// unplug takes an endpoint out of the kernel: first what leads to it, then the device, then its program and flows. Its entry goes
// last: should NetManager be killed before that, the next one finds by it whose flows are left.
func (s *Set) unplug(e *entry) error {
	var errs []error
	for _, a := range e.addresses() {
		if at, ok, err := s.cfg.Maps.Local.Lookup(bpf.AddrFrom(a)); err != nil {
			errs = append(errs, err)
		} else if ok && at == uint32(e.ifindex) {
			errs = append(errs, s.cfg.Maps.Local.Delete(bpf.AddrFrom(a)))
		}
	}
	errs = append(errs, s.removeDevice(e.Interface, e.ifindex), s.cfg.Datapath.PurgeEndpoint(e.addresses()...))
	if err := errors.Join(errs...); err != nil || e.ifindex == 0 {
		return err
	}
	return s.cfg.Maps.Endpoints.Delete(uint32(e.ifindex))
}

// removeDevice deletes the device before its program, so that nothing can be sent through it unseen.
func (s *Set) removeDevice(name string, ifindex int) error {
	err := deleteVeth(name)
	if ifindex != 0 {
		err = errors.Join(err, s.cfg.Datapath.Detach(ifindex))
	}
	return err
}

// writeMaps leaves entries alone that are right.
func (s *Set) writeMaps(e *entry) error {
	want, err := e.mapEntry()
	if err != nil {
		return err
	}
	key := uint32(e.ifindex)
	have, ok, err := s.cfg.Maps.Endpoints.Lookup(key)
	if err != nil {
		return err
	}
	if !ok || have != want {
		if err := s.cfg.Maps.Endpoints.Put(key, want); err != nil {
			return err
		}
	}
	for _, a := range e.addresses() {
		at, ok, err := s.cfg.Maps.Local.Lookup(bpf.AddrFrom(a))
		if err != nil {
			return err
		}
		if !ok || at != key {
			if err := s.cfg.Maps.Local.Put(bpf.AddrFrom(a), key); err != nil {
				return err
			}
		}
	}
	return nil
}
