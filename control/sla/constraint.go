// SPDX-License-Identifier: Apache-2.0

package sla

import (
	"slices"
	"strconv"
	"strings"
)

// The types of constraints.
const (
	ConstraintDirect   = "direct"   // these workers, or this cluster
	ConstraintClusters = "clusters" // one of these clusters
	ConstraintAddons   = "addons"   // only where these add-ons are
	ConstraintLatency  = "latency"  // at most so many ms from an area
	ConstraintGeo      = "geo"      // at most so many km from a place
)

// maxConvergence bounds a convergence time, in seconds.
const maxConvergence = 24 * 60 * 60

// ConstraintTypes lists the types of constraints that a descriptor may have.
func ConstraintTypes() []string {
	return []string{ConstraintDirect, ConstraintClusters, ConstraintAddons, ConstraintLatency, ConstraintGeo}
}

// Nodes returns the worker names of a direct constraint, which are joined by semicolons.
func (c *Constraint) Nodes() []string { return splitList(c.Node) }

// Clusters returns the cluster names that a direct or clusters constraint allows; none for any.
func (c *Constraint) Clusters() []string {
	if c.Type == ConstraintClusters {
		return c.Allowed
	}
	return splitList(c.Cluster)
}

func splitList(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ";") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// Coordinates returns the latitude and longitude, in degrees, of a geo constraint's location "lon;lat".
func (c *Constraint) Coordinates() (lat, lon float64, ok bool) {
	parts := strings.FieldsFunc(c.Location, func(r rune) bool { return r == ';' || r == ',' })
	if len(parts) != 2 {
		return 0, 0, false
	}
	lon, errLon := strconv.ParseFloat(strings.TrimSpace(parts[0]), 64)
	lat, errLat := strconv.ParseFloat(strings.TrimSpace(parts[1]), 64)
	// Written so that a NaN fails.
	ok = errLon == nil && errLat == nil && lon >= -180 && lon <= 180 && lat >= -90 && lat <= 90
	return lat, lon, ok
}

// constraint reads one of $.constraints.
func (r *reader) constraint(o *object) Constraint {
	before := len(r.errors)
	c := Constraint{
		Type:            o.string("type", required),
		Area:            o.string("area", optional),
		Location:        o.string("location", optional),
		Cluster:         o.string("cluster", optional),
		Node:            o.string("node", optional),
		Threshold:       o.number("threshold"),
		Rigidness:       o.number("rigidness"),
		ConvergenceTime: o.number("convergence_time"),
		Needs:           o.strings("needs", nil),
		Allowed:         o.strings("allowed", nil),
		Denied:          o.strings("denied", nil),
		Spread:          o.bool("spread"),
	}
	c.Extra = o.rest()
	if c.Type == "" && kind(o.fields["type"]) != "a string" {
		return c // told already
	}
	switch {
	case !slices.Contains(ConstraintTypes(), c.Type):
		r.fail(o.at("type"), "%q is none of %s", clip(c.Type), strings.Join(ConstraintTypes(), ", "))
	case c.Type == ConstraintDirect && len(c.Nodes()) == 0 && len(c.Clusters()) == 0:
		r.fail(o.path, "a direct constraint needs cluster or node")
	case c.Type == ConstraintClusters && len(c.Allowed) == 0 && len(c.Denied) == 0 && !c.Spread:
		r.fail(o.at("allowed"), "a clusters constraint needs clusters that are allowed or denied, or spread")
	case c.Type == ConstraintAddons && len(c.Needs) == 0:
		r.fail(o.at("needs"), "an addons constraint needs at least one add-on")
	case c.Type == ConstraintLatency && c.Area == "":
		r.fail(o.at("area"), "a latency constraint needs an area")
	case c.Type == ConstraintGeo:
		if _, _, ok := c.Coordinates(); !ok {
			r.fail(o.at("location"), "%q is no location of the form lon;lat in degrees", clip(c.Location))
		}
	}
	if r.strict && len(r.errors) == before {
		r.limits(o, c.Type == ConstraintLatency || c.Type == ConstraintGeo, c.Threshold, c.Rigidness, c.ConvergenceTime)
	}
	return c
}

// limits checks how much of something a constraint allows. That none is below 0 is known.
func (r *reader) limits(o *object, needed bool, threshold, rigidness, convergence float64) {
	if needed && threshold == 0 {
		r.fail(o.at("threshold"), "is 0, has to be above 0")
	}
	if rigidness > 1 {
		r.fail(o.at("rigidness"), "is %v, has to be from 0 to 1", rigidness)
	}
	if convergence > maxConvergence {
		r.fail(o.at("convergence_time"), "is %v, has to be from 0 to %d seconds", convergence, maxConvergence)
	}
}

// connectivity reads one of $.connectivity.
func (r *reader) connectivity(o *object) Connectivity {
	c := Connectivity{
		TargetMicroserviceID: o.string("target_microservice_id", required),
		Constraints:          []LinkConstraint{},
	}
	for _, item := range o.objects("con_constraints", optional) {
		before := len(r.errors)
		l := LinkConstraint{
			Type:            item.string("type", required),
			Threshold:       item.number("threshold"),
			Rigidness:       item.number("rigidness"),
			ConvergenceTime: item.number("convergence_time"),
		}
		if l.Type != "latency" && l.Type != "bandwidth" && kind(item.fields["type"]) == "a string" {
			r.fail(item.at("type"), "%q is neither latency nor bandwidth", clip(l.Type))
		}
		l.Extra = item.rest()
		if r.strict && len(r.errors) == before {
			r.limits(item, true, l.Threshold, l.Rigidness, l.ConvergenceTime)
		}
		c.Constraints = append(c.Constraints, l)
	}
	c.Extra = o.rest()
	return c
}
