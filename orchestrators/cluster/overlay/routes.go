// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// maxRoutes is how many instances of one service a worker is told: its own, those that it wants by their Instance IP, and a
// stable choice of the rest.
const maxRoutes = 64

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

// routes returns the message that tells w where the instances of a service are.
func (c *Core) routes(w *worker, s *service) wire.NetRoutes {
	own := slices.DeleteFunc(slices.Clone(s.Addresses), func(a wire.ServiceAddress) bool { return !c.owns(s.ID, a.Address) })
	m := wire.NetRoutes{ServiceID: s.ID, JobName: s.JobName, Addresses: own, Ports: s.Ports, Instances: []wire.RouteInstance{}}
	best := c.routable(s)
	for _, x := range best {
		m.Instances = append(m.Instances, c.route(s, x))
	}
	if len(m.Instances) > maxRoutes {
		m.Instances = c.choose(w, m.Instances)
	}
	slices.SortFunc(m.Instances, func(a, b wire.RouteInstance) int { return cmp.Compare(a.Number, b.Number) })
	return m
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

// choose keeps the routes that w is told when there are too many. The choice of the rest depends on the worker and the
// instance alone, so that the coming and going of one instance moves no other.
func (c *Core) choose(w *worker, all []wire.RouteInstance) []wire.RouteInstance {
	rank := func(r *wire.RouteInstance) uint64 {
		wants := func(a netip.Addr) bool { return a.IsValid() && c.wanted[a].has(w.id) }
		if r.Peer == w.id || wants(r.InstanceIP) || wants(r.InstanceIPv6) {
			return 0
		}
		h := fnv.New64a()
		_, _ = h.Write([]byte(w.id + "/" + strconv.Itoa(r.Number)))
		return h.Sum64()
	}
	slices.SortFunc(all, func(a, b wire.RouteInstance) int {
		return cmp.Or(cmp.Compare(rank(&a), rank(&b)), cmp.Compare(a.Number, b.Number))
	})
	return all[:maxRoutes]
}
