// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"fmt"
	"slices"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Bounds of one message.
const (
	maxInstances = 1024 // a service
	maxAddresses = 64   // a service; three policies in two families need six
)

// Apply makes the routes of one service what the cluster says. Routes that are not newer than those held change nothing, and nor does a change
// of others than those: then all of them are asked for. What cannot be written now, such as an instance on a worker not met yet, is written
// when it can.
func (t *Table) Apply(r wire.NetRoutes) error { return t.take(r, false) }

// take applies routes that the cluster has sent, or that are stored.
func (t *Table) take(r wire.NetRoutes, stored bool) error {
	if err := r.Check(); err != nil {
		return fmt.Errorf("apply routes: %w", err)
	}
	raw, err := bpf.ParseID(r.ServiceID)
	if err != nil {
		return fmt.Errorf("apply routes: %w", err)
	}
	t.mu.Lock()
	defer t.unlock()
	if err := t.apply(r, raw, stored); err != nil {
		return fmt.Errorf("apply routes %s of service %s: %w", r.Stamp, r.ServiceID, err)
	}
	return nil
}

func (t *Table) apply(r wire.NetRoutes, raw [12]byte, stored bool) error {
	s := t.services[r.ServiceID]
	if s != nil && s.routes != nil && !r.After(s.routes.Stamp) {
		return nil
	}
	r, ok := t.whole(s, r)
	if !ok {
		t.missed(r.ServiceID)
		return nil
	}
	if len(r.Instances) > maxInstances || len(r.Addresses) > maxAddresses {
		return fmt.Errorf("%d instances and %d addresses are more than the %d and %d that a service may have",
			len(r.Instances), len(r.Addresses), maxInstances, maxAddresses)
	}
	delete(t.gaps, r.ServiceID)
	if r.Gone {
		if s == nil {
			return nil
		}
		t.log.Info("service is gone", "service", s.id)
		return t.drop(s)
	}
	if s == nil {
		index, err := t.kernel.serviceSlots.take()
		if err != nil {
			return err
		}
		s = t.addService(r.ServiceID, raw, index)
	}
	if s.routes != nil {
		r.Instances = fence(s.routes, r)
	}
	if s.routes == nil || !samePlaces(s.routes.Instances, r.Instances) {
		s.stage = waitForAll
	}
	t.sequence++
	s.routes, s.order, s.stored = &r, t.sequence, stored
	t.unsaved[s.id] = true
	s.trustNews()
	return t.program(s)
}

// fence keeps an instance's newer copy if routes of the same epoch name an older one.
func fence(held *wire.NetRoutes, r wire.NetRoutes) []wire.RouteInstance {
	if held.Epoch != r.Epoch {
		return r.Instances
	}
	newest := map[int]wire.RouteInstance{}
	for _, i := range held.Instances {
		if have, ok := newest[i.Number]; !ok || i.Generation.Compare(have.Generation) > 0 {
			newest[i.Number] = i
		}
	}
	out := slices.Clone(r.Instances)
	for n, i := range out {
		if have, ok := newest[i.Number]; ok && have.Generation.Compare(i.Generation) > 0 {
			out[n] = have
		}
	}
	return out
}

// samePlaces reports whether the same copies of the same instances are on the same workers.
func samePlaces(a, b []wire.RouteInstance) bool {
	type place struct {
		backendKey
		peer string
	}
	places := make(map[place]bool, len(a))
	for _, i := range a {
		places[place{backendKey{i.Number, i.Generation}, i.Peer}] = true
	}
	for _, i := range b {
		if !places[place{backendKey{i.Number, i.Generation}, i.Peer}] {
			return false
		}
	}
	return len(a) == len(b)
}
