// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// abroad is what root has told of other clusters.
type abroad struct {
	// alone is true while there is no other cluster, or root has never said: then nobody has what this cluster does not know.
	alone bool
	// asking is true while root answers, so that what it has not answered yet may still come.
	asking bool
	// addresses and names are root's answers: the service that has it, or "" for nobody.
	addresses map[netip.Addr]string
	names     map[wire.NameKey]string
}

// ApplyAbroad takes in what root says of other clusters.
func (c *Core) ApplyAbroad(m wire.ClusterAbroad) {
	if m.Alone != c.abroad.alone {
		c.abroad.alone = m.Alone
		c.reanswer()
	}
	for _, p := range m.Workers {
		c.setAbroadWorker(p)
	}
	told := set{}
	for i := range m.Services {
		told.add(m.Services[i].ServiceID)
		c.setAbroadService(&m.Services[i])
	}
	gone := m.Gone
	if m.Full {
		gone.Services, gone.Addresses, gone.Names = c.missing(&m, told)
	}
	for _, id := range gone.Services {
		c.removeAbroadService(id)
	}
	for _, a := range gone.Addresses {
		delete(c.abroad.addresses, a)
	}
	for _, n := range gone.Names {
		delete(c.abroad.names, n)
	}
	for _, a := range m.Answers {
		if a.Address.IsValid() {
			c.abroad.addresses[a.Address] = a.ServiceID
			for w := range c.wanted[a.Address] {
				c.dirtyAnswers.add(w)
			}
			c.touchName(subject{address: a.Address})
		} else {
			c.abroad.names[a.Name] = a.ServiceID
			c.touchName(subject{service: a.Name})
		}
	}
	c.forgetStrangers()
}

// missing returns what a full message lacks of what is held.
func (c *Core) missing(m *wire.ClusterAbroad, told set) (services []string, addresses []netip.Addr, names []wire.NameKey) {
	for id, s := range c.services {
		if s.abroad != nil && !told.has(id) {
			services = append(services, id)
		}
	}
	has := func(match func(wire.AbroadAnswer) bool) bool { return slices.ContainsFunc(m.Answers, match) }
	for a := range c.abroad.addresses {
		if !has(func(x wire.AbroadAnswer) bool { return x.Address == a }) {
			addresses = append(addresses, a)
		}
	}
	for n := range c.abroad.names {
		if !has(func(x wire.AbroadAnswer) bool { return x.Name == n }) {
			names = append(names, n)
		}
	}
	return services, addresses, names
}

// Abroad returns all that is held of other clusters, as one full message without a stamp.
func (c *Core) Abroad() wire.ClusterAbroad {
	m := wire.ClusterAbroad{Full: true, Alone: c.abroad.alone}
	for _, id := range slices.Sorted(maps.Keys(c.services)) {
		if s := c.services[id]; s.abroad != nil {
			m.Services = append(m.Services, *s.abroad)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.workers)) {
		if w := c.workers[id]; w.abroad && w.publicKey != nil {
			m.Workers = append(m.Workers, wire.NetPeer{WorkerID: id, PublicKey: w.publicKey, Subnets: w.subnets, Outer: w.outer, NAT: w.nat, Sources: w.sources})
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(c.abroad.addresses), netip.Addr.Compare) {
		m.Answers = append(m.Answers, wire.AbroadAnswer{Address: a, ServiceID: c.abroad.addresses[a]})
	}
	for _, n := range slices.SortedFunc(maps.Keys(c.abroad.names), wire.NameKey.Compare) {
		m.Answers = append(m.Answers, wire.AbroadAnswer{Name: n, ServiceID: c.abroad.names[n]})
	}
	return m
}

// SetAsking says whether root answers. Once it does not, what waits for it is told that it cannot be told.
func (c *Core) SetAsking(now bool) {
	if c.abroad.asking != now {
		c.abroad.asking = now
		c.reanswer()
	}
}

// Alone reports whether there is no other cluster.
func (c *Core) Alone() bool { return c.abroad.alone }

// reanswer has everything that is wanted looked at again.
func (c *Core) reanswer() {
	for id, w := range c.workers {
		if !w.abroad && len(w.interest)+len(w.names) > 0 {
			c.dirtyAnswers.add(id)
		}
	}
}

// abroadWorker returns another cluster's worker, making it known; nil if the id is a worker's of this cluster.
func (c *Core) abroadWorker(id string) *worker {
	w := c.workers[id]
	if w == nil {
		w = &worker{id: id, abroad: true, settled: true, endpoints: map[wire.InstanceKey]wire.NetEndpoint{}, wants: set{}}
		c.workers[id] = w
	}
	if !w.abroad {
		return nil
	}
	return w
}

func (c *Core) setAbroadWorker(p wire.NetPeer) {
	w := c.abroadWorker(p.WorkerID)
	if w == nil || len(p.PublicKey) != publicKeyLength || len(p.Outer) > MaxOuter {
		return
	}
	w.publicKey, w.subnets, w.outer, w.nat, w.sources = p.PublicKey, p.Subnets, p.Outer, p.NAT, p.Sources
	c.touch(w)
}

// setAbroadService takes in what root says of a service. Of one that is not complete, instances that are lacking are kept.
func (c *Core) setAbroadService(a *wire.AbroadService) {
	s := c.services[a.ServiceID]
	fresh := *a
	if s != nil && s.abroad != nil && !a.Complete {
		for _, held := range s.abroad.Instances {
			i := slices.IndexFunc(fresh.Instances, func(x wire.RouteInstance) bool { return x.Number == held.Number })
			switch {
			case held.Peer == "":
			case i < 0:
				fresh.Instances = append(slices.Clone(fresh.Instances), held)
			case fresh.Instances[i].Peer == "" && fresh.Instances[i].Generation.Placement <= held.Generation.Placement:
				fresh.Instances = slices.Clone(fresh.Instances)
				fresh.Instances[i] = held
			}
		}
	}
	if s != nil {
		c.leaveAbroad(s)
	}
	for _, x := range fresh.Instances {
		if w := c.abroadWorker(x.Peer); x.Peer != "" && w != nil {
			w.endpoints[wire.InstanceKey{ServiceID: fresh.ServiceID, Number: x.Number}] = wire.NetEndpoint{
				InstanceKey: wire.InstanceKey{ServiceID: fresh.ServiceID, Number: x.Number}, Generation: x.Generation,
				NamespaceIP: x.NamespaceIP, NamespaceIPv6: x.NamespaceIPv6, Tag: x.Tag}
		}
	}
	for _, id := range fresh.Callers {
		c.abroadWorker(id)
	}
	c.put(fresh.ServiceID, func(s *service) { s.abroad = &fresh })
}

func (c *Core) removeAbroadService(id string) {
	s := c.services[id]
	if s == nil || s.abroad == nil {
		return
	}
	c.leaveAbroad(s)
	c.put(id, func(s *service) { s.abroad = nil })
}

// leaveAbroad takes the endpoints of a service's instances in other clusters away from their workers.
func (c *Core) leaveAbroad(s *service) {
	c.touchService(s)
	if s.abroad == nil {
		return
	}
	for _, x := range s.abroad.Instances {
		if w := c.workers[x.Peer]; w != nil && w.abroad {
			delete(w.endpoints, wire.InstanceKey{ServiceID: s.ID, Number: x.Number})
		}
	}
}

// forgetStrangers forgets other clusters' workers that no service names.
func (c *Core) forgetStrangers() {
	named := set{}
	for _, s := range c.services {
		if s.abroad == nil {
			continue
		}
		for _, x := range s.abroad.Instances {
			named.add(x.Peer)
		}
		for _, id := range s.abroad.Callers {
			named.add(id)
		}
	}
	for id, w := range c.workers {
		if w.abroad && !named.has(id) {
			delete(c.workers, id)
		}
	}
}

// join returns what is known of a service in this cluster and in others together.
func (s *service) join() Service {
	if s.abroad == nil {
		return *s.home
	}
	a := s.abroad
	m := Service{ID: a.ServiceID, JobName: a.JobName, Organization: a.Organization, Addresses: a.Addresses, Ports: a.Ports, Wanted: true}
	if s.home != nil {
		m.Copies = slices.Clone(s.home.Copies)
	}
	for _, x := range a.Instances {
		m.Copies = append(m.Copies, Copy{Number: x.Number, Generation: x.Generation, Worker: x.Peer, State: x.State,
			InstanceIP: x.InstanceIP, InstanceIPv6: x.InstanceIPv6, Load: x.Load, at: x.Location, abroad: true})
	}
	return m
}

// awaited reports whether another cluster has yet to tell of its instances of a service of which none can be reached so far.
func (c *Core) awaited(s *service) bool {
	return s.abroad != nil && !s.abroad.Complete && len(c.routable(s)) == 0
}
