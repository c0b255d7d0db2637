// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// The kinds of attachment. A link's pin is named KIND-IFINDEX.
const (
	kindContainer = "container"
	kindUplinkIn  = "uplink_in"
	kindUplinkOut = "uplink_out"
	kindReinject  = "reinject"
	kindSink      = "sink"
	kindGuard     = "guard"
	kindXDP       = "xdp"
)

// programs returns the program of each kind.
func (d *Datapath) programs() map[string]*ebpf.Program {
	return map[string]*ebpf.Program{
		kindContainer: d.progs.Container,
		kindUplinkIn:  d.progs.UplinkIn,
		kindUplinkOut: d.progs.UplinkOut,
		kindReinject:  d.progs.Reinject,
		kindSink:      d.progs.Sink,
		kindGuard:     d.progs.Guard,
		kindXDP:       d.progs.XDP,
	}
}

func (d *Datapath) attach(kind string, ifindex int) error {
	if err := d.hooks.attach(kind, ifindex, d.programs()[kind]); err != nil {
		return fmt.Errorf("attach %s program to interface %d: %w", kind, ifindex, err)
	}
	return nil
}

// AttachContainer attaches the container program to the host side of a veth. Attaching again changes nothing.
func (d *Datapath) AttachContainer(ifindex int) error { return d.attach(kindContainer, ifindex) }

// AttachUplink attaches the uplink programs, ingress and egress, and that of its card if its driver runs such.
func (d *Datapath) AttachUplink(ifindex int) error {
	if err := d.attach(kindUplinkIn, ifindex); err != nil {
		return err
	}
	if err := d.attach(kindUplinkOut, ifindex); err != nil {
		return err
	}
	d.noteUplink(d.attachXDP(ifindex))
	return nil
}

// AttachTunnelDevice attaches the program that drops all that the tunnel's kernel device would deliver. It has to be there before
// the device is set up.
func (d *Datapath) AttachTunnelDevice(ifindex int) error { return d.attach(kindGuard, ifindex) }

// AttachUpcall attaches the programs of the upcall pair: reinjection on oak-up0, the sink on oak-up1. It is to be called before endpoints come
// and go, and in the network namespace of the pair.
func (d *Datapath) AttachUpcall(up0, up1 int) error {
	if err := d.attach(kindSink, up1); err != nil {
		return err
	}
	if err := d.attach(kindReinject, up0); err != nil {
		return err
	}
	resets, err := openResetter(up1)
	if err != nil {
		return err
	}
	d.resets.close()
	d.resets = resets
	return nil
}

// Detach removes whatever this package attached to the interface. That there is nothing is no error.
func (d *Datapath) Detach(ifindex int) error {
	// Before the uplink's program, which alone knows what to do with a packet without its outer headers.
	if err := d.hooks.detach(kindXDP, ifindex); err != nil {
		return fmt.Errorf("detach %s program from interface %d: %w", kindXDP, ifindex, err)
	}
	for kind := range d.programs() {
		if err := d.hooks.detach(kind, ifindex); err != nil {
			return fmt.Errorf("detach %s program from interface %d: %w", kind, ifindex, err)
		}
	}
	d.forgetUplink(ifindex)
	return nil
}
