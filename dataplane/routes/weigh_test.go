// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// weighs checks what the programs are told of the instance in a place: load and distance.
func (w *world) weighs(index uint32, load, distance uint16) {
	w.t.Helper()
	b, _, err := w.maps.Backends.Lookup(index)
	require.NoError(w.t, err)
	require.Equal(w.t, []uint16{load, distance}, []uint16{b.Load, b.Distance})
}

// TestWhatInstancesWeigh: loads and distances follow the routes and the worker's own place; what is not known is said to be so. No flow ends
// by it, nobody waits, and only what differs is written.
func TestWhatInstancesWeigh(t *testing.T) {
	munich, berlin := wire.Location{Latitude: 48.137, Longitude: 11.575}, wire.Location{Latitude: 52.52, Longitude: 13.405}
	load := func(x float64) *float64 { return &x }
	w := newWorld(t)
	var gone []bpf.Owner
	w.cfg.Gone = func(owners []bpf.Owner) { gone = append(gone, owners...) }
	w.attach(2, 1, 7, 0x55)
	make := func(revision uint64) wire.NetRoutes {
		near, far, here := instance(0, 1, peerB), instance(1, 1, peerC), instance(2, 1, self)
		near.Location, near.Load = &munich, load(0.25)
		far.Location, far.Load = &berlin, load(1)
		here.Location, here.Load = &munich, load(0)
		return routesOf(revision, near, far, here)
	}
	require.NoError(t, w.Apply(make(1)))
	w.weighs(1, 250, bpf.DistanceUnknown)
	w.weighs(2, 1000, bpf.DistanceUnknown)
	w.weighs(3, 0, 0)
	w.Locate(&munich)
	w.weighs(1, 250, 0)
	w.weighs(2, 1000, 504)
	w.tripwire(func() { again := munich; w.Locate(&again) })

	said := make(2)
	said.Instances[0].Load, said.Instances[0].Location = load(0.5), &berlin
	said.Instances[1].Load, said.Instances[1].Location = nil, nil
	before := w.dump()
	w.answers, w.waits = nil, nil
	require.NoError(t, w.Apply(said))
	w.weighs(1, 500, 504)
	w.weighs(2, bpf.LoadUnknown, bpf.DistanceUnknown)
	require.Equal(t, before, w.dump(), "all else stays")
	require.Empty(t, gone, "no flow has ended")
	require.Empty(t, w.waits, "no packet waits")

	saved := snapshotOf(w.All())
	w.restart()
	w.tripwire(func() { // here is not known yet, and neither what the routes say
		w.here = &munich
		require.NoError(t, w.Restore(saved))
	})
	w.Locate(nil)
	w.weighs(1, 500, bpf.DistanceUnknown)

	for revision, c := range []struct {
		load float64
		at   wire.Location
	}{{-3, wire.Location{Latitude: 1000}}, {7, wire.Location{Longitude: -1e300}}} {
		said := make(uint64(3 + revision))
		said.Instances[0].Load, said.Instances[0].Location = &c.load, &c.at
		require.NoError(t, w.Apply(said))
		w.weighs(1, uint16(revision)*bpf.LoadFull, bpf.DistanceUnknown)
	}
}
