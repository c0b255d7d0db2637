// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// demand is what a service's constraints ask of a cluster, beyond room on a worker.
type demand struct {
	// clusters are the only ones allowed, by name or id; nil for any.
	clusters []string
	addons   []string
	volumes  []string
	places   []place
}

// place is a point that the cluster may not be farther from than the distance, in kilometres.
type place struct {
	at wire.Location
	km float64
}

func demandOf(m *sla.Microservice) demand {
	var d demand
	for i := range m.Constraints {
		c := &m.Constraints[i]
		if names := c.Clusters(); len(names) > 0 {
			d.restrict(names)
		}
		switch c.Type {
		case sla.ConstraintAddons:
			d.addons = append(d.addons, c.Needs...)
		case sla.ConstraintGeo:
			if lat, lon, ok := c.Coordinates(); ok {
				d.places = append(d.places, place{wire.Location{Latitude: lat, Longitude: lon}, c.Threshold})
			}
		}
	}
	for i := range m.Volumes {
		d.volumes = append(d.volumes, m.Volumes[i].Driver)
	}
	return d
}

// restrict allows only what all constraints allow.
func (d *demand) restrict(names []string) {
	if d.clusters == nil {
		d.clusters = slices.Clone(names)
		return
	}
	d.clusters = slices.DeleteFunc(d.clusters, func(n string) bool { return !slices.Contains(names, n) })
}

// refuses returns in a person's words why the cluster does not do, or "".
func (d *demand) refuses(c *clusterState) string {
	switch {
	case d.clusters != nil && !slices.Contains(d.clusters, c.name) && !slices.Contains(d.clusters, c.id):
		return "is not among the clusters that the service allows (" + strings.Join(d.clusters, ", ") + ")"
	case !c.active:
		return fmt.Sprintf("has not reported for %s", activeFor)
	}
	for _, need := range d.addons {
		if !slices.Contains(c.aggregate.Addons, need) {
			return "lacks add-on " + need
		}
	}
	for _, driver := range d.volumes {
		if !slices.Contains(c.aggregate.VolumeDrivers, driver) {
			return "lacks volume driver " + driver
		}
	}
	for _, p := range d.places {
		at, radius, ok := geo.Parse(c.location)
		if !ok {
			return "does not tell where it is, and the service asks for a place"
		}
		if away := geo.Distance(p.at, at) - radius; away > p.km {
			return fmt.Sprintf("is %.0f km too far away", away-p.km)
		}
	}
	return ""
}

// failure is the state of an instance for which no cluster was found.
func (d *demand) failure(v *clusterView) wire.State {
	if d.clusters == nil {
		return wire.StateNoActiveCluster
	}
	known := v.named(d.clusters)
	switch {
	case len(known) == 0:
		return wire.StateClusterNotFound
	case !slices.ContainsFunc(known, func(c *clusterState) bool { return c.active }):
		return wire.StateClusterNotActive
	}
	return wire.StateClusterNoCapacity
}
