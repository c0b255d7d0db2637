// SPDX-License-Identifier: Apache-2.0

package bare

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/cilium/ebpf"
)

// Containers is how many containers a worker can have, counted by the last byte of their addresses.
const Containers = 16

// Overhead is what the outer headers take, in bytes: IPv4 20, UDP 8, VXLAN-GPE 8.
const Overhead = 36

// port is that of the tunnel: any will do, since no socket is asked.
const port = 50103

// Worker is one of two workers, as the programs need to know it.
type Worker struct {
	// Uplink is the index of the device to the other worker, Own and Other are the addresses there.
	Uplink     int
	Own, Other netip.Addr
	// Subnet holds the containers' addresses, by the last byte of which Here has the index of each one's host side.
	Subnet netip.Prefix
	Here   map[netip.Addr]int
}

// Attach loads the programs for a worker and puts them on its devices; the caller is in its network namespace, and is when they are closed. They
// go with the closer.
func Attach(w Worker) (io.Closer, error) {
	spec, err := loadBare()
	if err != nil {
		return nil, fmt.Errorf("read the bare programs: %w", err)
	}
	if err := w.tell(spec); err != nil {
		return nil, err
	}
	var programs bareObjects
	if err := spec.LoadAndAssign(&programs, nil); err != nil {
		return nil, fmt.Errorf("load the bare programs: %w", err)
	}
	defer func() { _ = programs.Close() }() // the links hold them
	var all closers
	attach := func(p *ebpf.Program, ifindex int) error {
		at, err := attachTo(ifindex, p)
		if err != nil {
			return fmt.Errorf("attach to device %d: %w", ifindex, err)
		}
		all = append(all, at)
		return nil
	}
	err = attach(programs.BareUplink, w.Uplink)
	for _, ifindex := range w.Here {
		err = errors.Join(err, attach(programs.BareContainer, ifindex))
	}
	if err != nil {
		return nil, errors.Join(err, all.Close())
	}
	return all, nil
}

// tell writes into the programs what they have to know.
func (w Worker) tell(spec *ebpf.CollectionSpec) error {
	var here [Containers]uint32
	for a, ifindex := range w.Here {
		last := a.As4()[3]
		if last >= Containers || !w.Subnet.Contains(a) {
			return fmt.Errorf("container %s: its address has to be of %s and end below %d", a, w.Subnet, Containers)
		}
		here[last] = uint32(ifindex)
	}
	outer, sum := w.outer()
	for name, value := range map[string]any{
		"here": here, "subnet": uint32(w.Subnet.Addr().As4()[2]), "outer": outer, "outer_sum": sum, "neighbour": w.Other.As4(),
		"uplink": uint32(w.Uplink), "port": uint32(port),
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set %s of the bare programs: %w", name, err)
		}
	}
	return nil
}

// outer is the headers to the other worker without lengths, and the sum over the IP header's words as the machine reads them.
func (w Worker) outer() (h [Overhead]byte, sum uint32) {
	own, other := w.Own.As4(), w.Other.As4()
	h[0], h[6], h[8], h[9] = 0x45, 0x40, 64, 17 // version and length, DF, TTL, UDP
	copy(h[12:], own[:])
	copy(h[16:], other[:])
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.LittleEndian.Uint16(h[i:]))
	}
	binary.BigEndian.PutUint16(h[20:], port)
	binary.BigEndian.PutUint16(h[22:], port)
	h[28], h[31] = 0x0c, 1 // as this project's own: an instance and a next protocol, which is IPv4
	return h, sum
}

type closers []io.Closer

// Close takes the programs off.
func (all closers) Close() error {
	var errs []error
	for _, c := range all {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
