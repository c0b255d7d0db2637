// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// source is where an Instance IP lives, or a worker's gateway address.
type source struct {
	kernel   bpf.Source
	instance wire.InstanceKey // zero if it was found in the map and no list has named it yet
	wanted   bool
}

// gatewayGeneration is that of workers' gateway addresses, which are of no instance.
const gatewayGeneration = 1

// applySources makes the map sources what the list says: of several places of an instance the one with the highest generation.
func (g *Greeter) applySources(list []wire.NetPeer) error {
	want := map[bpf.Addr]source{}
	for _, entry := range list {
		id, err := bpf.ParseID(entry.WorkerID)
		if err != nil || g.byID[id] == nil {
			continue // refused above
		}
		for _, subnet := range entry.Subnets {
			// The host itself calls under this address, which no instance ever has.
			if gateway := semantic.Gateway(subnet); subnet.Contains(gateway) {
				want[bpf.AddrFrom(gateway)] = source{kernel: bpf.Source{Generation: gatewayGeneration, Peer: g.byID[id].index}, wanted: true}
			}
		}
		for _, s := range entry.Sources {
			next := source{bpf.Source{Generation: s.Generation.Packed(), Peer: g.byID[id].index}, s.InstanceKey, true}
			for _, ip := range []netip.Addr{s.InstanceIP, s.InstanceIPv6} {
				if addr := bpf.AddrFrom(ip); ip.IsValid() && next.kernel.Generation > want[addr].kernel.Generation {
					want[addr] = next
				}
			}
		}
	}
	for _, s := range g.sources {
		s.wanted = false
	}
	var errs []error
	for addr, next := range want {
		held := g.sources[addr]
		if held != nil && held.kernel == next.kernel {
			held.wanted, held.instance = true, next.instance
			continue
		}
		if err := g.cfg.Maps.Sources.Put(addr, next.kernel); err != nil {
			errs = append(errs, fmt.Errorf("enter source %s: %w", addr, err))
			continue
		}
		g.sources[addr] = &next
		g.learned = append(g.learned, addr.Netip())
	}
	return errors.Join(errs...)
}

// dropSource removes a source that nothing uses any more.
func (g *Greeter) dropSource(addr bpf.Addr) error {
	if err := g.cfg.Maps.Sources.Delete(addr); err != nil {
		return err
	}
	delete(g.sources, addr)
	return nil
}
