// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"fmt"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// kernel is what the maps hold, so that only what differs is written.
type kernel struct {
	maps     *bpf.Maps
	vips     map[bpf.Addr]bpf.VIP
	services map[uint32]bpf.Service
	backends map[uint32]bpf.Backend
	// owners counts, by place, the backends that have had it: what flows know theirs by.
	owners []uint16
	// gone are those whose place has been given up or to another, to be told once the maps are written.
	gone []bpf.Owner
	// Free places.
	serviceSlots, backendSlots slots
}

func (k *kernel) setVIP(addr bpf.Addr, v bpf.VIP) (written bool, err error) {
	if held, ok := k.vips[addr]; ok && held == v {
		return false, nil
	}
	if err := k.maps.VIPs.Put(addr, v); err != nil {
		return false, fmt.Errorf("enter address %s: %w", addr, err)
	}
	k.vips[addr] = v
	return true, nil
}

func (k *kernel) removeVIP(addr bpf.Addr) error {
	if _, ok := k.vips[addr]; !ok {
		return nil
	}
	if err := k.maps.VIPs.Delete(addr); err != nil {
		return fmt.Errorf("remove address %s: %w", addr, err)
	}
	delete(k.vips, addr)
	return nil
}

func (k *kernel) setService(index uint32, s bpf.Service) error {
	if k.services[index] == s {
		return nil
	}
	if err := k.maps.Services.Put(index, s); err != nil {
		return fmt.Errorf("write service %d: %w", index, err)
	}
	k.services[index] = s
	return nil
}

func (k *kernel) removeService(index uint32) error {
	if err := k.setService(index, bpf.Service{}); err != nil {
		return err
	}
	delete(k.services, index)
	k.serviceSlots.free(index)
	return nil
}

func (k *kernel) setBackend(index uint32, b bpf.Backend) error {
	held := k.backends[index]
	b.Slot = k.owners[index]
	if held.Generation != b.Generation || held.Service != b.Service || held.Number != b.Number {
		b.Slot++
	}
	if held == b {
		return nil
	}
	if err := k.maps.Backends.Put(index, b); err != nil {
		return fmt.Errorf("write backend %d: %w", index, err)
	}
	if held.Generation != 0 && held.Slot != b.Slot {
		k.gone = append(k.gone, bpf.Owner{Backend: index, Slot: held.Slot})
	}
	k.backends[index], k.owners[index] = b, b.Slot
	return nil
}

func (k *kernel) removeBackend(index uint32) error {
	if err := k.setBackend(index, bpf.Backend{}); err != nil {
		return err
	}
	delete(k.backends, index)
	k.backendSlots.free(index)
	return nil
}
