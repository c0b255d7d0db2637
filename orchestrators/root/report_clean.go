// SPDX-License-Identifier: Apache-2.0

package root

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/vivaldi"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Bounds of what a cluster can have stored. Much of it comes from workers, of which one may lie: that must not spoil what the
// cluster says of all others.
const (
	maxDetail = 4096 // bytes
	maxWord   = 256  // bytes
	maxWords  = 256
	// maxExplained bounds the reasons, and the examples, of an explanation.
	maxExplained = 32
	// maxPlacement leaves room to raise one that is taken over.
	maxPlacement = math.MaxUint32 / 2
)

// reportable are the states that are a cluster's to tell.
var reportable = [...]wire.State{
	wire.StateClusterScheduled, wire.StateNodeScheduled, wire.StateCreating, wire.StateCreated, wire.StateRunning, wire.StateCompleted,
	wire.StateFailed, wire.StateDead, wire.StateUndeployed, wire.StateNoWorkerCapacity, wire.StateNoQualifiedWorker,
}

// cleanReport cuts a report down to what can be stored and returns how many of its lines are about no instance.
func cleanReport(in *wire.ClusterReport) (dropped int) {
	before := len(in.Instances)
	in.Instances = slices.DeleteFunc(in.Instances, func(i wire.InstanceReport) bool {
		return !pki.ValidID(i.ServiceID) || i.Number < 0 || i.Number > math.MaxInt32 || i.Generation.Placement > maxPlacement ||
			!slices.Contains(reportable[:], i.State)
	})
	soon := time.Now().Add(time.Hour)
	for n := range in.Instances {
		i := &in.Instances[n]
		i.Detail = clip(i.Detail, maxDetail)
		if i.Scheduling != nil {
			cleanExplanation(i.Scheduling)
		}
		i.Leaving = i.Leaving && i.State == wire.StateRunning
		i.Restarts = min(max(i.Restarts, 0), math.MaxInt32)
		i.CPUPercent, i.MemoryBytes = min(max(i.CPUPercent, 0), 1e9), max(i.MemoryBytes, 0)
		if i.Since.Before(time.Unix(0, 0)) || i.Since.After(soon) {
			i.Since = time.Time{} // now
		}
	}
	cleanWorkers(in.Workers)
	maps.DeleteFunc(in.RoundTrips, func(worker string, ms float64) bool { return !pki.ValidID(worker) || !(ms > 0 && ms <= vivaldi.MaxRTT) })
	for worker := range in.RoundTrips {
		if len(in.RoundTrips) > maxWords {
			delete(in.RoundTrips, worker)
		}
	}
	a := &in.Aggregate
	a.Location, a.Addons, a.VolumeDrivers = clip(a.Location, maxLocation), words(a.Addons), words(a.VolumeDrivers)
	a.Where = cleanPoint(a.Where)
	a.Groups = a.Groups[:min(len(a.Groups), maxWords)]
	for n := range a.Groups {
		a.Groups[n].Slots = a.Groups[n].Slots[:min(len(a.Groups[n].Slots), wire.MaxSlots)]
		a.Groups[n].Architecture, a.Groups[n].Runtime = clip(a.Groups[n].Architecture, maxWord), clip(a.Groups[n].Runtime, maxWord)
	}
	return before - len(in.Instances)
}

// cleanExplanation cuts what a cluster says of its decision down to what a person reads.
func cleanExplanation(e *wire.Explanation) {
	e.Tier, e.Strategy, e.Notes = wire.TierCluster, clip(e.Strategy, maxWord), words(e.Notes)
	e.Refusals, e.Rejections = e.Refusals[:min(len(e.Refusals), maxExplained)], e.Rejections[:min(len(e.Rejections), maxExplained)]
	for n := range e.Refusals {
		e.Refusals[n].Reason, e.Refusals[n].Kind = clip(e.Refusals[n].Reason, maxWord), wire.RefusalKind(clip(string(e.Refusals[n].Kind), maxWord))
	}
	for n := range e.Rejections {
		r := &e.Rejections[n]
		r.ID, r.Name, r.Kind = clip(r.ID, maxWord), clip(r.Name, maxWord), wire.RefusalKind(clip(string(r.Kind), maxWord))
		r.Reason, r.Detail = clip(r.Reason, maxWord), clip(r.Detail, maxDetail)
	}
	if c := e.Chosen; c != nil {
		c.ID, c.Name, c.Why = clip(c.ID, maxWord), clip(c.Name, maxWord), clip(c.Why, maxDetail)
	}
	if e.At.Before(time.Unix(0, 0)) || e.At.After(time.Now().Add(time.Hour)) {
		e.At = time.Time{}
	}
}

// cleanPoint drops what is no place.
func cleanPoint(p wire.Point) wire.Point {
	if p.Location != nil && !geo.Valid(*p.Location) || !(p.RadiusKM >= 0) {
		p.Location, p.RadiusKM = nil, 0
	}
	if p.Coordinate != nil && !vivaldi.Valid(*p.Coordinate) || !(p.SpreadMS >= 0) {
		p.Coordinate, p.SpreadMS = nil, 0
	}
	p.Cluster, p.RoundTripMS = "", 0
	return p
}

func words(list []string) []string {
	list = list[:min(len(list), maxWords)]
	for n := range list {
		list[n] = clip(list[n], maxWord)
	}
	return list
}

// clip cuts a text to at most so many bytes, all of which Postgres takes.
func clip(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.ReplaceAll(text, "\x00", "")
}
