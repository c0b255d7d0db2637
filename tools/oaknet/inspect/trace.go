// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// traceLife is for how long the programs trace without being told so again: what is left on by a tracer that was killed.
const traceLife = 3 * time.Second

// ErrTracing is returned while somebody else traces.
var ErrTracing = errors.New("another trace is going on")

// TraceFilter says which packets are traced, of both directions. What is empty takes all.
type TraceFilter struct {
	// Protocol is its number.
	Protocol uint8
	// From are addresses of the opener's side, To of the other; FromPort and ToPort are their ports.
	From, To         []netip.Addr
	FromPort, ToPort uint16
	// Sample is that of so many packets one is followed; 0 and 1: all.
	Sample uint32
}

// Tracer follows packets through the programs.
type Tracer struct {
	maps   *bpf.Maps
	reader *bpf.TraceReader
	filter bpf.Trace
}

// Trace begins to trace. The reader must not be closed before the tracer.
func (r *Reader) Trace(filter TraceFilter) (*Tracer, error) {
	of := bpf.Trace{
		Proto: filter.Protocol, Sample: filter.Sample, Port: [2]uint16{hostPort(filter.FromPort), hostPort(filter.ToPort)},
		Froms: uint16(len(filter.From)), Tos: uint16(len(filter.To)),
	}
	for _, side := range []struct {
		addrs []netip.Addr
		into  *[bpf.MaxTraceAddresses]bpf.Addr
	}{{filter.From, &of.From}, {filter.To, &of.To}} {
		if len(side.addrs) > bpf.MaxTraceAddresses {
			return nil, fmt.Errorf("trace %d addresses: %d are the most", len(side.addrs), bpf.MaxTraceAddresses)
		}
		for i, a := range side.addrs {
			side.into[i] = bpf.AddrFrom(a)
		}
	}
	now, err := Now()
	if err != nil {
		return nil, err
	}
	was, _, err := r.maps.Trace.Lookup(0)
	if err != nil {
		return nil, fmt.Errorf("look for another trace: %w", err)
	}
	if was.Until > uint64(now.Monotonic) {
		return nil, fmt.Errorf("%w: only one can at a time; it ends at the latest %s after whoever began it", ErrTracing, traceLife)
	}
	t := &Tracer{maps: r.maps, filter: of}
	if t.reader, err = r.maps.ReadTraces(); err != nil {
		return nil, err
	}
	if err := t.drain(); err != nil {
		return nil, errors.Join(err, t.reader.Close())
	}
	if err := t.Renew(); err != nil {
		return nil, errors.Join(err, t.reader.Close())
	}
	return t, nil
}

// drain throws away what an earlier trace has left behind.
func (t *Tracer) drain() error {
	for {
		_, ok, err := t.reader.Next(time.Now())
		if err != nil || !ok {
			return err
		}
	}
}

// Renew keeps the trace going; it is to be called every second.
func (t *Tracer) Renew() error {
	now, err := Now()
	if err != nil {
		return err
	}
	if t.filter.Until != 0 {
		was, _, err := t.maps.Trace.Lookup(0)
		if err != nil {
			return fmt.Errorf("go on with the trace: %w", err)
		}
		t.filter.Lost = was.Lost
	}
	t.filter.Until = uint64(now.Monotonic + traceLife)
	if err := t.maps.Trace.Put(0, t.filter); err != nil {
		return fmt.Errorf("tell the programs what to trace: %w", err)
	}
	return nil
}

// Lost counts the events that found no room.
func (t *Tracer) Lost() (uint64, error) {
	was, _, err := t.maps.Trace.Lookup(0)
	return was.Lost, err
}

// Next returns the next event, or false if there is none until the deadline.
func (t *Tracer) Next(deadline time.Time) (bpf.TraceEvent, bool, error) {
	return t.reader.Next(deadline)
}

// Close ends the trace.
func (t *Tracer) Close() error {
	return errors.Join(t.maps.Trace.Put(0, bpf.Trace{}), t.reader.Close())
}

// Aliases returns an address and those that stand for the same on other stretches of a packet's way, as far as a filter has room: of a service
// address its instances', of an instance's address its others. Without them a filter would see a packet before its translation alone.
func (r *Reader) Aliases(addr netip.Addr) ([]netip.Addr, error) {
	t, err := r.routes()
	if err != nil {
		return nil, err
	}
	endpoints, err := r.endpoints()
	if err != nil {
		return nil, fmt.Errorf("read endpoints: %w", err)
	}
	out := []netip.Addr{addr}
	family := bpf.V4
	if addr.Is6() {
		family = bpf.V6
	}
	add := func(of InstanceAddresses) {
		inst := of.InstanceIP
		if family == bpf.V6 {
			inst = of.InstanceIPv6
		}
		for _, a := range []netip.Addr{of.NamespaceOf(addr), inst} {
			if a.IsValid() && !slices.Contains(out, a) && len(out) < bpf.MaxTraceAddresses {
				out = append(out, a)
			}
		}
	}
	if vip, ok := t.vips[bpf.AddrFrom(addr)]; ok && vip.Policy != bpf.PolicyInstance {
		for _, index := range listed(t.services[vip.Service]) {
			add(addressesOf(t.backends[index]))
		}
		return out, nil
	}
	for _, b := range t.backends {
		if of := addressesOf(b); of.stand(addr) {
			add(of)
		}
	}
	for _, e := range endpoints {
		if of := instanceAddresses(e.Ns, e.Inst); of.stand(addr) {
			add(of)
		}
	}
	return out, nil
}

// stand reports whether an address is one of them.
func (a InstanceAddresses) stand(addr netip.Addr) bool {
	return slices.Contains([]netip.Addr{a.NamespaceIP, a.NamespaceIPv6, a.InstanceIP, a.InstanceIPv6}, addr)
}
