// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"cmp"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/statefile"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Datapath is what the package needs of the programs in the kernel.
type Datapath interface {
	// AttachContainer puts the container's program on a device; on one that has it, nothing changes.
	AttachContainer(ifindex int) error
	// Detach takes it away; the device may be gone.
	Detach(ifindex int) error
	// PurgeEndpoint deletes all flows of the addresses.
	PurgeEndpoint(ns ...netip.Addr) error
}

// Config is what a [Set] works with.
type Config struct {
	Datapath Datapath
	Maps     *bpf.Maps
	// StateFile is where endpoints are kept.
	StateFile string
	// Changed is called after every change, without locks held. It may be nil.
	Changed func()
	Log     *slog.Logger
}

// Network is what the worker gives its endpoints.
type Network struct {
	// Subnets are the worker's own. The first of each family has the gateway.
	Subnets []netip.Prefix
	Gateway netip.Addr
	// The host has to have these addresses. GatewayIPv6 is not valid where the worker has no IPv6, or too small an MTU for it; then endpoints do not speak it.
	GatewayIPv6 netip.Addr
	// MTU of containers, in bytes.
	MTU int
}

// Set is all local endpoints of a worker. Its methods may be used concurrently.
type Set struct {
	cfg Config
	log *slog.Logger

	op      sync.Mutex // one change at a time; taken before mu
	network Network    // under op
	freed   []freed    // under op
	hostAt  int        // under op: index of the device by which the host is an endpoint; 0 if it is none yet

	mu      sync.RWMutex // guards the map, briefly
	entries map[wire.InstanceKey]*entry
}

// List returns all endpoints, ordered by service and number.
func (s *Set) List() []wire.LocalEndpoint {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]wire.LocalEndpoint, 0, len(s.entries))
	for _, e := range s.entries {
		out = append(out, e.LocalEndpoint)
	}
	slices.SortFunc(out, func(a, b wire.LocalEndpoint) int { return a.InstanceKey.Compare(b.InstanceKey) })
	return out
}

// Lookup returns the endpoint of exactly this generation as programs see it.
func (s *Set) Lookup(key wire.InstanceKey, g wire.Generation) (bpf.Endpoint, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.entries[key]
	if e == nil || e.Generation != g {
		return bpf.Endpoint{}, false
	}
	out, err := e.mapEntry()
	return out, err == nil
}

// At returns the endpoint that has a namespace address.
func (s *Set) At(a netip.Addr) (wire.LocalEndpoint, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, e := range s.entries {
		if e.NamespaceIP == a || e.NamespaceIPv6 == a {
			return e.LocalEndpoint, a.IsValid()
		}
	}
	return wire.LocalEndpoint{}, false
}

func (s *Set) get(key wire.InstanceKey) *entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[key]
}

func (s *Set) put(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[e.InstanceKey] = e
}

func (s *Set) remove(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[e.InstanceKey] == e {
		delete(s.entries, e.InstanceKey)
	}
}

// all returns the entries in a stable order.
func (s *Set) all() []*entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*entry, 0, len(s.entries))
	for _, e := range s.entries {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b *entry) int { return cmp.Compare(a.Interface, b.Interface) })
	return out
}

// save writes the state file: all entries, and extra, which is about to become one.
func (s *Set) save(extra ...*entry) error {
	s.freed = rested(s.freed, time.Now())
	st := state{Endpoints: []record{}, Freed: s.freed}
	for _, e := range append(s.all(), extra...) {
		st.Endpoints = append(st.Endpoints, e.record)
	}
	return statefile.Write(s.cfg.StateFile, st)
}

func (s *Set) changed() {
	if s.cfg.Changed != nil {
		s.cfg.Changed()
	}
}
