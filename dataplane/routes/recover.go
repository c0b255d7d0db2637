// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"fmt"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// recover takes over what an earlier NetManager has left in the maps.
func (t *Table) recover() error {
	t.kernel = kernel{
		maps: t.cfg.Maps, vips: map[bpf.Addr]bpf.VIP{},
		services: map[uint32]bpf.Service{}, backends: map[uint32]bpf.Backend{}, owners: make([]uint16, bpf.MaxBackends),
		serviceSlots: newSlots("services", bpf.MaxServices), backendSlots: newSlots("backends", bpf.MaxBackends),
	}
	k := &t.kernel
	byIndex := map[uint32]*service{}
	var err error
	for index, s := range k.maps.Services.All(&err) {
		if s.Id == ([12]byte{}) || index == 0 {
			continue
		}
		k.services[index] = s
		if id := bpf.FormatID(s.Id); t.services[id] == nil {
			byIndex[index] = t.addService(id, s.Id, index)
		}
	}
	if err != nil {
		return fmt.Errorf("recover services: %w", err)
	}
	for index, b := range k.maps.Backends.All(&err) {
		k.owners[index] = b.Slot
		if b.Generation != 0 && index != 0 {
			k.backends[index] = b
		}
	}
	if err != nil {
		return fmt.Errorf("recover backends: %w", err)
	}
	for addr, v := range k.maps.VIPs.All(&err) {
		k.vips[addr] = v
	}
	if err != nil {
		return fmt.Errorf("recover addresses: %w", err)
	}
	if err := t.adopt(byIndex); err != nil {
		return fmt.Errorf("recover routes: %w", err)
	}
	named := map[uint32]bool{}
	for _, f := range k.maps.Flows().All(&err) {
		named[f.Backend] = true
	}
	if err != nil {
		return fmt.Errorf("recover what flows name: %w", err)
	}
	k.serviceSlots.recover(has(k.services), func(uint32) bool { return false })
	k.backendSlots.recover(has(k.backends), func(i uint32) bool { return named[i] })
	return nil
}

// adopt gives each address and backend to its service, and removes what has none: the last NetManager died between two writes.
func (t *Table) adopt(byIndex map[uint32]*service) error {
	k := &t.kernel
	for addr, v := range k.vips {
		if v.Policy == bpf.PolicyNone {
			t.refused[addr] = t.now().Add(refusedFor)
			continue
		}
		s := byIndex[v.Service]
		if s == nil {
			if err := k.removeVIP(addr); err != nil {
				return err
			}
			continue
		}
		t.claim(s, addr)
	}
	for index, b := range k.backends {
		s := byIndex[b.Service]
		at := backendKey{int(b.Number), wire.UnpackGeneration(b.Generation)}
		if s == nil || s.backends[at] != 0 {
			if err := k.setBackend(index, bpf.Backend{}); err != nil {
				return err
			}
			delete(k.backends, index)
			continue
		}
		s.backends[at] = index
	}
	return nil
}

func has[V any](m map[uint32]V) func(uint32) bool {
	return func(i uint32) bool { _, ok := m[i]; return ok }
}
