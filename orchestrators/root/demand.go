// SPDX-License-Identifier: Apache-2.0

package root

import (
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/scheduler"
)

// demand is what a service's constraints ask of a cluster, beyond room on a worker.
type demand struct {
	// allowed are the only clusters, by name or id, if restricted; denied are those to keep out of.
	allowed, denied []string
	restricted      bool
	// even has instances spread over clusters whatever their size.
	even bool
	// near names what to be near to; see resolver.
	near []wanted
}

// wanted is a proximity whose target is still a text: an area, or a service.
type wanted struct {
	wire.Proximity
	service bool
}

// demandOf reads the constraints of a service, which are to hold those of its application too.
func demandOf(m *sla.Microservice) demand {
	var d demand
	for i := range m.Constraints {
		c := &m.Constraints[i]
		if names := c.Clusters(); len(names) > 0 {
			d.restrict(names)
		}
		near := wanted{Proximity: wire.Proximity{Threshold: c.Threshold, Rigidness: c.Rigidness, ConvergenceTime: c.ConvergenceTime}}
		switch c.Type {
		case sla.ConstraintClusters:
			d.denied = append(d.denied, c.Denied...)
			d.even = d.even || c.Spread
		case sla.ConstraintGeo:
			near.Kind, near.Name = wire.ProximityGeo, c.Location
			d.near = append(d.near, near)
		case sla.ConstraintLatency:
			near.Kind, near.Name = wire.ProximityLatency, c.Area
			d.near = append(d.near, near)
		}
	}
	for i := range m.Connectivity {
		for _, c := range m.Connectivity[i].Constraints {
			if c.Type == wire.ProximityLatency { // bandwidth is reserved, see specOf
				d.near = append(d.near, wanted{service: true, Proximity: wire.Proximity{Kind: wire.ProximityLatency, Threshold: c.Threshold,
					Rigidness: c.Rigidness, ConvergenceTime: c.ConvergenceTime, Name: m.Connectivity[i].TargetMicroserviceID}})
			}
		}
	}
	return d
}

// restrict allows only what all constraints allow.
func (d *demand) restrict(names []string) {
	if !d.restricted {
		d.allowed, d.restricted = slices.Clone(names), true
		return
	}
	d.allowed = slices.DeleteFunc(d.allowed, func(n string) bool { return !slices.Contains(names, n) })
}

// ask adds the demand, but for what to be near to, to what an instance asks for.
func (d *demand) ask(req *scheduler.Request) {
	req.Allowed, req.HasAllowed, req.Denied, req.Even = d.allowed, d.restricted, d.denied, d.even
}

// failure is the state of an instance for which no cluster was found.
func (d *demand) failure(v *clusterView) wire.State {
	if !d.restricted {
		return wire.StateNoActiveCluster
	}
	known := v.named(d.allowed)
	switch {
	case len(known) == 0:
		return wire.StateClusterNotFound
	case !slices.ContainsFunc(known, func(c *clusterState) bool { return c.active }):
		return wire.StateClusterNotActive
	}
	return wire.StateClusterNoCapacity
}

// barred says why a service does not want a cluster, whether or not that one is there or has room now; or "". What the service has to be near
// to is not looked at: instances are not moved for what changes by itself.
func barred(m *sla.Microservice, at *clusterState) string {
	d := demandOf(m)
	var req scheduler.Request
	d.ask(&req)
	for i := range m.Constraints {
		if c := &m.Constraints[i]; c.Type == sla.ConstraintAddons {
			req.Addons = append(req.Addons, c.Needs...)
		}
	}
	for i := range m.Volumes {
		req.VolumeDrivers = append(req.VolumeDrivers, m.Volumes[i].Driver)
	}
	there := at.candidate()
	there.Unavailable = ""
	placement, why := scheduler.NewPool([]scheduler.Candidate{there}).Place(&req, scheduler.Spread)
	if placement.Found() {
		return ""
	}
	return why.String()
}
