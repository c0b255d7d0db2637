// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// routable returns the one copy of each instance that may be a route: the highest generation that runs and whose endpoint is
// known, and none below one that was a route before. One that is only created or not ready gives way to an older one that serves.
func (c *Core) routable(s *service) map[int]*Copy {
	best := map[int]*Copy{}
	for i := range s.Copies {
		x := &s.Copies[i]
		if x.Stopping || (x.State != wire.StateRunning && x.State != wire.StateCreated) || x.Generation.Compare(s.floor[x.Number]) < 0 {
			continue
		}
		if _, ok := c.endpointOf(s.ID, x); !ok || !c.owns(s.ID, x.InstanceIP) || !c.owns(s.ID, x.InstanceIPv6) {
			continue
		}
		have := best[x.Number]
		if have != nil && (have.State == wire.StateRunning) != (x.State == wire.StateRunning) {
			if x.State == wire.StateRunning {
				best[x.Number] = x
			}
			continue
		}
		if have == nil || x.Generation.Compare(have.Generation) > 0 {
			best[x.Number] = x
		}
	}
	for n, x := range best {
		s.floor[n] = x.Generation
	}
	return best
}

// held reports whether nothing may be said of a service yet: a worker that may have an instance of it has not been heard of
// since this process started, so that a list would lack what is there.
func (c *Core) held(s *service, now time.Time) bool {
	if !now.Before(c.graceEnd) {
		return false
	}
	best := c.routable(s)
	return slices.ContainsFunc(s.Copies, func(x Copy) bool {
		w := c.workers[x.Worker]
		return best[x.Number] == nil && !x.Stopping && w != nil && !w.settled
	})
}

// route returns what is told of a copy that may be a route.
func (c *Core) route(s *service, x *Copy) wire.RouteInstance {
	e, _ := c.endpointOf(s.ID, x)
	at := x.at
	if !x.abroad {
		at = c.workers[x.Worker].at
	}
	return wire.RouteInstance{
		Number: x.Number, Generation: x.Generation, InstanceIP: x.InstanceIP, InstanceIPv6: x.InstanceIPv6,
		Peer: x.Worker, NamespaceIP: e.NamespaceIP, NamespaceIPv6: e.NamespaceIPv6, Tag: e.Tag, State: x.State,
		Load: s.told(x), Location: at,
	}
}
