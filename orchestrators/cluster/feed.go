// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"time"

	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/overlay"
)

// feedSoon has what is known of services handed to the overlay before it says or answers anything. A service of which many copies
// change within a moment is so handed over once.
func (c *Cluster) feedSoon(services []string) {
	if len(services) == 0 {
		return
	}
	c.mu.Lock()
	for _, s := range services {
		c.unfed[s] = struct{}{}
	}
	c.mu.Unlock()
	c.plane.Wake()
}

// feedPending hands over what is due. Once it has returned, the overlay knows all that the ledger knew when it was called.
func (c *Cluster) feedPending() {
	c.feed.Lock()
	defer c.feed.Unlock()
	c.mu.Lock()
	due := c.unfed
	if len(due) == 0 {
		c.mu.Unlock()
		return
	}
	c.unfed = map[string]struct{}{}
	known := make([]overlay.Service, 0, len(due))
	var gone []string
	now := time.Now()
	for id := range due {
		if s, ok := c.viewOf(id, now); ok {
			known = append(known, s)
		} else {
			gone = append(gone, id)
		}
	}
	c.mu.Unlock()
	c.plane.Do(func(core *overlay.Core) []overlay.Message {
		for _, s := range known {
			core.SetService(s)
		}
		for _, id := range gone {
			core.RemoveService(id)
		}
		return nil
	})
}

// viewOf returns what the overlay is to know of a service; ok is false if there is nothing left of it. Callers hold mu.
func (c *Cluster) viewOf(id string, now time.Time) (s overlay.Service, ok bool) {
	copies, spec, wanted, ok := c.ledger.CopiesOf(id)
	s = overlay.Service{ID: id, JobName: spec.JobName, Organization: spec.Organization,
		Addresses: spec.Addresses, Ports: spec.Ports, Wanted: wanted, Copies: make([]overlay.Copy, 0, len(copies))}
	for i := range copies {
		x := &copies[i]
		view := overlay.Copy{Number: x.Number, Generation: x.Generation, Worker: x.Worker, State: routeState(x, c.ledger.Draining(x)),
			InstanceIP: x.Spec.InstanceIP, InstanceIPv6: x.Spec.InstanceIPv6, Stopping: x.Stop}
		if load, known := c.ledger.LoadOf(ledger.CopyID{InstanceKey: x.InstanceKey, Generation: x.Generation}, now); known {
			view.Load = &load
		}
		s.Copies = append(s.Copies, view)
	}
	return s, ok
}
