// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// program brings the maps to what the service's routes say: backends, then the service, then its addresses; what goes, in reverse.
func (t *Table) program(s *service) error {
	if s.routes == nil {
		return nil
	}
	p := t.plan(s)
	record := bpf.Service{Id: s.raw}
	keep := map[backendKey]bool{}
	indices, err := t.enterBackends(s, p.backends)
	if err != nil {
		return err
	}
	for i, b := range p.backends {
		keep[b.at] = true
		if b.chosen && int(record.Count) < bpf.MaxBackendsPerService {
			record.Backends[record.Count] = indices[i]
			record.Count++
		}
	}
	if err := t.kernel.setService(s.index, record); err != nil {
		return err
	}
	if err := t.enterAddresses(s, p); err != nil {
		return err
	}
	for addr := range s.addrs {
		if _, ok := p.vips[addr]; !ok {
			if err := t.disclaim(s, addr); err != nil {
				return err
			}
		}
	}
	if s.stored {
		return nil // flows that began by newer routes go on
	}
	for at, index := range s.backends {
		if keep[at] {
			continue
		}
		if err := t.kernel.removeBackend(index); err != nil {
			return err
		}
		delete(s.backends, at)
	}
	return nil
}

// enterBackends writes what instances are as targets, and returns their places.
func (t *Table) enterBackends(s *service, planned []plannedBackend) ([]uint32, error) {
	indices, values := make([]uint32, len(planned)), make([]bpf.Backend, len(planned))
	var taken []uint32
	var err error
	for i, b := range planned {
		index, known := s.backends[b.at]
		if !known {
			if index, err = t.kernel.backendSlots.take(); err != nil {
				break
			}
			taken = append(taken, index)
		}
		indices[i], values[i] = index, b.value
	}
	if err == nil {
		err = t.kernel.setBackends(indices, values)
	}
	if err != nil {
		for _, index := range taken {
			t.kernel.backendSlots.free(index)
		}
		return nil, err
	}
	for i, b := range planned {
		s.backends[b.at] = indices[i]
	}
	return indices, nil
}

// enterAddresses enters those that packets may be sent to now. The others wait a moment for a peer to be met: till then packets to them
// are held, not dropped.
func (t *Table) enterAddresses(s *service, p plan) error {
	waiting := false
	ready := make(map[bpf.Addr]bpf.VIP, len(p.vips))
	for addr, planned := range p.vips {
		if other := t.owners[addr]; other != nil && other != s && other.order > s.order {
			continue // it was given to another service since
		}
		t.claim(s, addr)
		value := bpf.VIP{Service: s.index, Policy: planned.policy}
		now := !p.awaited || p.chosen && s.stage >= waitForOne || s.stage == waitedOut
		if planned.policy == bpf.PolicyInstance {
			if planned.backend != nil {
				value.Backend = s.backends[planned.backend.at]
			}
			now = planned.backend != nil && (planned.backend.ready || planned.backend.hopeless || s.stage == waitedOut)
		} else if held, ok := t.kernel.vips[addr]; ok && held == value {
			now = true // in use already: packets in flight do not wait
		}
		if !now {
			waiting = true
			if err := t.kernel.removeVIP(addr); err != nil {
				return err
			}
			continue
		}
		ready[addr] = value
	}
	written, err := t.kernel.setVIPs(ready)
	if err != nil {
		return err
	}
	for addr := range ready {
		delete(t.refused, addr)
		if w := t.wants[addr]; w != nil {
			w.asked = time.Time{}
		}
	}
	for _, addr := range written {
		t.answered(addr, true)
	}
	if waiting {
		t.wait(s)
	} else {
		s.stopWaiting()
	}
	return nil
}

// programAndLog is for events that nobody waits for. What failed is tried again on the next event.
func (t *Table) programAndLog(s *service, why string) {
	if err := t.program(s); err != nil {
		t.log.Error("cannot write the routes of a service; tried again on the next change", "service", s.id, "event", why, "error", err)
	}
}

// PeersChanged is called when a worker became known, was met, or is gone.
func (t *Table) PeersChanged(workerID string) {
	t.mu.Lock()
	defer t.unlock()
	t.reprogram(workerID, "peer changed")
}

// EndpointsChanged is called when an endpoint of this worker was attached or detached.
func (t *Table) EndpointsChanged() {
	t.mu.Lock()
	defer t.unlock()
	t.reprogram(t.cfg.WorkerID, "local endpoint changed")
}

// reprogram writes the routes of all services that have an instance on that worker.
func (t *Table) reprogram(workerID, why string) {
	for _, s := range t.services {
		if s.routes == nil {
			continue
		}
		for _, instance := range s.routes.Instances {
			if instance.Peer == workerID {
				t.programAndLog(s, why)
				break
			}
		}
	}
}
