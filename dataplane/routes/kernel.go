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
	// What is on its way to the maps, kept for its room.
	addrs   []bpf.Addr
	values  []bpf.VIP
	indices []uint32
	targets []bpf.Backend
	// Free places.
	serviceSlots, backendSlots slots
}

// setVIPs enters addresses, all with one system call, and returns those that were not there like this.
func (k *kernel) setVIPs(want map[bpf.Addr]bpf.VIP) (written []bpf.Addr, err error) {
	k.addrs, k.values = k.addrs[:0], k.values[:0]
	for addr, v := range want {
		if held, ok := k.vips[addr]; !ok || held != v {
			k.addrs, k.values = append(k.addrs, addr), append(k.values, v)
		}
	}
	if len(k.addrs) == 0 {
		return nil, nil
	}
	if err := k.maps.VIPs.PutAll(k.addrs, k.values); err != nil {
		return nil, fmt.Errorf("enter %d addresses: %w", len(k.addrs), err)
	}
	for i, addr := range k.addrs {
		k.vips[addr] = k.values[i]
	}
	return k.addrs, nil
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

// setBackends writes backends to their places, all with one system call.
func (k *kernel) setBackends(indices []uint32, values []bpf.Backend) error {
	k.indices, k.targets = k.indices[:0], k.targets[:0]
	for i, index := range indices {
		b, held := values[i], k.backends[index]
		b.Slot = k.owners[index]
		if held.Generation != b.Generation || held.Service != b.Service || held.Number != b.Number {
			b.Slot++
		}
		if held != b {
			k.indices, k.targets = append(k.indices, index), append(k.targets, b)
		}
	}
	if len(k.indices) == 0 {
		return nil
	}
	if err := k.maps.Backends.PutAll(k.indices, k.targets); err != nil {
		return fmt.Errorf("write %d backends: %w", len(k.indices), err)
	}
	for i, index := range k.indices {
		b, held := k.targets[i], k.backends[index]
		if held.Generation != 0 && held.Slot != b.Slot {
			k.gone = append(k.gone, bpf.Owner{Backend: index, Slot: held.Slot})
		}
		k.backends[index], k.owners[index] = b, b.Slot
	}
	return nil
}

func (k *kernel) setBackend(index uint32, b bpf.Backend) error {
	return k.setBackends([]uint32{index}, []bpf.Backend{b})
}

func (k *kernel) removeBackend(index uint32) error {
	if err := k.setBackend(index, bpf.Backend{}); err != nil {
		return err
	}
	delete(k.backends, index)
	k.backendSlots.free(index)
	return nil
}
