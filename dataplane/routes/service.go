// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// service is one service that is wanted here.
type service struct {
	id     string
	raw    [12]byte
	index  uint32
	routes *wire.NetRoutes // as the cluster says; nil: found in the maps, and nothing heard of it yet
	stored bool            // its routes are those of the last run's snapshot
	order  uint64          // of its routes among all services'
	since  time.Time       // when it was taken in

	addrs    map[bpf.Addr]bool     // that stand for it
	backends map[backendKey]uint32 // → index in the map

	distrusted map[backendKey]distrust // nil until there is one
	doubted    wire.Stamp              // of the routes that one was called stale of, and that newer ones are asked for of

	waiting *time.Timer // until the next stage
	stage   waitStage
}

// waitStage is how long a service has waited for its peers to be met.
type waitStage int

const (
	waitForAll waitStage = iota // the first flows are to find every instance, or they would not be spread evenly
	waitForOne                  // some peer does not answer: those that do will serve
	waitedOut                   // addresses are entered whatever is known
)

// backendKey names a copy of an instance within its service. Another generation is another backend, so that no flow takes one copy
// for the other.
type backendKey struct {
	number     int
	generation wire.Generation
}

func (t *Table) addService(id string, raw [12]byte, index uint32) *service {
	s := &service{
		id: id, raw: raw, index: index, since: t.now(),
		addrs: map[bpf.Addr]bool{}, backends: map[backendKey]uint32{},
	}
	t.services[id] = s
	return s
}

// stamp is that of the routes held, zero if none are.
func (s *service) stamp() wire.Stamp {
	if s == nil || s.routes == nil {
		return wire.Stamp{}
	}
	return s.routes.Stamp
}

// claim makes an address stand for s. An address that changes hands belongs to whom it was given last.
func (t *Table) claim(s *service, addr bpf.Addr) {
	if other := t.owners[addr]; other != nil && other != s {
		delete(other.addrs, addr)
	}
	t.owners[addr] = s
	s.addrs[addr] = true
}

func (t *Table) disclaim(s *service, addr bpf.Addr) error {
	if err := t.kernel.removeVIP(addr); err != nil {
		return err
	}
	delete(s.addrs, addr)
	delete(t.owners, addr)
	return nil
}

// drop forgets a service: its addresses first, what they lead to last.
func (t *Table) drop(s *service) error {
	s.stopWaiting()
	for addr := range s.addrs {
		if err := t.disclaim(s, addr); err != nil {
			return err
		}
	}
	if err := t.kernel.removeService(s.index); err != nil {
		return err
	}
	delete(t.services, s.id)
	delete(t.gaps, s.id)
	t.unsaved[s.id] = true
	for at, index := range s.backends {
		if err := t.kernel.removeBackend(index); err != nil {
			return err
		}
		delete(s.backends, at)
	}
	return nil
}

// wait has the service's addresses looked at again when its next stage begins.
func (t *Table) wait(s *service) {
	if s.waiting != nil || s.stage == waitedOut || t.closed {
		return
	}
	stageWait := allPeersWait
	if s.stage == waitForOne {
		stageWait = peerWait - allPeersWait
	}
	var timer *time.Timer // of this wait: one that was stopped too late finds another in its place
	timer = t.after(stageWait, func() {
		t.mu.Lock()
		defer t.unlock()
		if t.closed || t.services[s.id] != s || s.waiting != timer {
			return
		}
		s.waiting = nil
		s.stage++
		t.programAndLog(s, "peers did not answer in time")
	})
	s.waiting = timer
}

func (s *service) stopWaiting() {
	if s.waiting != nil {
		s.waiting.Stop()
		s.waiting = nil
	}
}
