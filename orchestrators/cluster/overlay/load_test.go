// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// loads says how busy the service's instances are, one after the other; below 0: unknown.
func (b *bed) loads(all ...float64) {
	said := map[CopyKey]float64{}
	for n, load := range all {
		if load >= 0 {
			said[CopyKey{wire.InstanceKey{ServiceID: "s", Number: n}, gen(1)}] = load
		}
	}
	b.SetLoads(said)
}

// weights are what the messages say of the service's instances: load and place.
func weights(out []Message) (lines []string) {
	for _, m := range out {
		p, ok := received(m).(wire.NetRoutes)
		if !ok {
			lines = append(lines, fmt.Sprintf("%T", received(m)))
			continue
		}
		line := m.Worker
		for _, x := range p.Instances {
			if x.Load == nil {
				line += " ?"
			} else {
				line += fmt.Sprintf(" %.3f", *x.Load)
			}
			if x.Location != nil {
				line += fmt.Sprintf("@%g,%g", x.Location.Latitude, x.Location.Longitude)
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// weighedBed has two instances, which w3 calls.
func weighedBed() *bed {
	b := newBed(time.Time{})
	b.service(at(1, 0, 1, wire.StateRunning), at(2, 1, 1, wire.StateRunning))
	b.endpoints(1, ep(1, 0, 1))
	b.endpoints(2, ep(2, 1, 1))
	b.endpoints(3)
	b.interest(3, wire.Stamp{}, want(svcIP))
	b.Flush(now)
	return b
}

func TestLoadsAreToldInSteps(t *testing.T) {
	b := weighedBed()
	require.Empty(t, weights(b.Flush(now)))
	b.loads(0, -1)
	require.Equal(t, []string{"w3 0.000 ?"}, weights(b.Flush(now)), "what was not known is told at once")
	b.loads(0.01, 0.5)
	require.Equal(t, []string{"w3 0.000 0.500"}, weights(b.Flush(now)))
	b.loads(1, 0.5)
	require.Equal(t, []string{"w3 0.500 0.500"}, weights(b.Flush(now)), "a new word counts half")
	b.loads(1, 0.5)
	require.Equal(t, []string{"w3 0.750 0.500"}, weights(b.Flush(now)))
	for range 8 {
		b.loads(1, 0.5)
	}
	require.Equal(t, []string{"w3 1.000 0.500"}, weights(b.Flush(now)))
	b.loads(1, -1)
	require.Equal(t, []string{"w3 1.000 ?"}, weights(b.Flush(now)), "what is not known any more is no load")
	b.loads(7, -1)
	require.Empty(t, weights(b.Flush(now)), "there is no more than full")

	// What else changes takes the loads along, and a service that is told anew keeps them.
	b.service(at(1, 0, 1, wire.StateRunning))
	require.Contains(t, weights(b.Flush(now)), "w3 1.000")
	third := at(2, 1, 2, wire.StateRunning)
	load := 0.26
	third.Load = &load
	b.endpoints(2, ep(2, 1, 2))
	b.service(at(1, 0, 1, wire.StateRunning), third)
	require.Contains(t, weights(b.Flush(now)), "w3 1.000 0.250", "of a new copy it is told at once")
	load = 0.9
	b.service(at(1, 0, 1, wire.StateRunning), third)
	require.Empty(t, weights(b.Flush(now)), "what is said of it later waits for its turn")
}

// TestAnIdleSystemSendsNoRoutes: loads waver as those of machines with little to do, and of such with steady work, do.
func TestAnIdleSystemSendsNoRoutes(t *testing.T) {
	b := weighedBed()
	r := rand.New(rand.NewPCG(1, 2))
	waver := func(about, by float64) float64 { return about + by*(2*r.Float64()-1) }
	told := 0
	for range 10_000 {
		b.loads(waver(0.04, 0.04), waver(0.5625, 0.05)) // the second lies between two steps
		told += len(b.Flush(now))
	}
	require.LessOrEqual(t, told, 3, "the first loads, and the step that each comes to rest on")
	require.Positive(t, told)
}

func TestPlacesAreTold(t *testing.T) {
	b := weighedBed()
	require.True(t, b.Locate("w2", &wire.Location{Latitude: 48, Longitude: 11}))
	require.Equal(t, []string{"w3 ? ?@48,11"}, weights(b.Flush(now)))
	require.False(t, b.Locate("w2", &wire.Location{Latitude: 48, Longitude: 11}))
	require.Empty(t, b.Flush(now))
	require.True(t, b.Locate("w2", nil))
	require.Equal(t, []string{"w3 ? ?"}, weights(b.Flush(now)))
	require.False(t, b.Locate("nobody", &wire.Location{}))
}
