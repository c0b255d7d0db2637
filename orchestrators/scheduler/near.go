// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"fmt"
	"strconv"

	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/vivaldi"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Demand is one thing that an instance has to be near to: the nearest of its targets counts.
type Demand struct {
	// Kind is [wire.ProximityLatency] or [wire.ProximityGeo].
	Kind string
	// Threshold is in ms of round trip, or km. Beyond Limit, which is at least Threshold, a candidate is refused; between the two it is taken
	// only if nothing is within Threshold.
	Threshold, Limit float64
	// Name is what people call the target.
	Name string
	// Service says that the target is a service: without Targets, nothing of it runs, and the demand is met. A place without Targets is unknown.
	Service bool
	Targets []Target
}

// Target is where something to be near to is.
type Target struct {
	wire.Point
	// Candidate is the id of the candidate that it is on, if it is on one.
	Candidate string
	// Measured are round trips to it in ms, by the candidate from which they were measured.
	Measured map[string]float64
}

// DemandOf returns the demand of a specification, with the targets that it brings along.
func DemandOf(p *wire.Proximity) Demand {
	d := Demand{Kind: p.Kind, Threshold: p.Threshold, Limit: p.Threshold, Name: p.Name, Service: p.Service != ""}
	if p.Rigidness > 0 && p.Rigidness < 1 {
		d.Limit = p.Threshold / p.Rigidness
	}
	for _, point := range p.Points {
		d.Targets = append(d.Targets, Target{Point: point})
	}
	return d
}

// kmPerMS is how far light in fibre, at two thirds of its speed in vacuum, gets there and back in one ms.
const kmPerMS = 299_792.458 * 2 / 3 / 1000 / 2

// trusted is the error up to which a coordinate is believed; a new one has 1.
const trusted = 0.5

// how a distance is known.
const (
	measured   = "measured"
	estimated  = "estimated from measured round trips"
	byDistance = "at least, by the distance"
)

// distance returns how far the candidate is from the nearest target, in the demand's unit, and how that is known; ok is false if of no
// target anything is known. It is a lower bound where a candidate or target is an area.
func (d *Demand) distance(c *Candidate) (least float64, how string, ok bool) {
	for i := range d.Targets {
		v, by, known := d.toTarget(c, &d.Targets[i])
		if known && (!ok || v < least) {
			least, how, ok = v, by, true
		}
	}
	return least, how, ok
}

func (d *Demand) toTarget(c *Candidate, t *Target) (v float64, how string, ok bool) {
	if t.Candidate != "" && t.Candidate == c.ID || t.Cluster != "" && t.Cluster == c.Site {
		return 0, measured, true
	}
	km, located := 0.0, c.Where.Location != nil && t.Location != nil
	if located {
		km = max(geo.Distance(*c.Where.Location, *t.Location)-c.Where.RadiusKM-t.RadiusKM, 0)
	}
	if d.Kind == wire.ProximityGeo {
		return km, byDistance, located
	}
	if rtt, known := t.Measured[c.ID]; known {
		return rtt, measured, true
	}
	if t.RoundTripMS > 0 {
		return t.RoundTripMS, measured, true
	}
	// Each cluster measures between its own workers alone: its coordinates say nothing beside another's.
	if a, b := c.Where.Coordinate, t.Coordinate; a != nil && b != nil && c.Where.Cluster == t.Cluster && a.Error <= trusted && b.Error <= trusted {
		return max(vivaldi.Distance(*a, *b)-c.Where.SpreadMS-t.SpreadMS, 0), estimated, true
	}
	return km / kmPerMS, byDistance, located
}

// judge returns what speaks against the candidate, and how far it is as a part of the threshold, 0 and more.
func (d *Demand) judge(c *Candidate) (reason, float64) {
	if d.Service && len(d.Targets) == 0 {
		return accepted, 0
	}
	v, _, ok := d.distance(c)
	switch {
	case !ok:
		return placeUnknown, 0
	case v <= d.Limit:
		if d.Threshold <= 0 {
			return accepted, 0
		}
		return accepted, v / d.Threshold
	case d.Kind == wire.ProximityGeo:
		return tooFar, 0
	}
	return tooSlow, 0
}

// Met reports whether the candidate is near enough.
func (d *Demand) Met(c *Candidate) bool {
	why, _ := d.judge(c)
	return why == accepted
}

// text says why the demand speaks against the candidate.
func (d *Demand) text(c *Candidate) string {
	v, how, ok := d.distance(c)
	switch {
	case len(d.Targets) == 0:
		return fmt.Sprintf("%s is not known: name a cluster, a place that root knows (--area), or lon;lat", d.Name)
	case !ok && c.Where.Location == nil && c.Where.Coordinate == nil:
		return "does not tell where it is, and the service asks for a place near " + d.Name
	case !ok:
		return "it is not known how far it is from " + d.Name
	case d.Kind == wire.ProximityGeo:
		return fmt.Sprintf("is %s km from %s, the service allows %s", rounded(v), d.Name, rounded(d.Limit))
	}
	return fmt.Sprintf("is %s ms from %s (%s), the service allows %s", rounded(v), d.Name, how, rounded(d.Limit))
}

// rounded shows three digits or all before the point.
func rounded(v float64) string {
	digits := 0
	switch {
	case v < 10:
		digits = 2
	case v < 100:
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}
