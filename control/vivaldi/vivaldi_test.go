// SPDX-License-Identifier: Apache-2.0

package vivaldi

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Hosts in three towns, each with an access link of its own, measure a few of the others: afterwards coordinates foretell the round trips
// of pairs that never measured one another.
func TestCoordinatesForetellWhatWasNotMeasured(t *testing.T) {
	const hosts = 60
	rng := rand.New(rand.NewPCG(1, 2))
	towns := [][2]float64{{0, 0}, {30, 0}, {10, 40}} // ms
	var at [hosts][2]float64
	var access [hosts]float64
	for i := range at {
		town := towns[i%3]
		at[i] = [2]float64{town[0] + rng.Float64()*2, town[1] + rng.Float64()*2}
		access[i] = 0.5 + rng.Float64()*4
	}
	real := func(a, b int) float64 {
		return math.Hypot(at[a][0]-at[b][0], at[a][1]-at[b][1]) + access[a] + access[b]
	}
	all := make([]wire.Coordinate, hosts)
	for i := range all {
		all[i] = New()
	}
	neighbours := make([][]int, hosts)
	for i := range neighbours {
		for len(neighbours[i]) < 8 {
			if n := rng.IntN(hosts); n != i && !slices.Contains(neighbours[i], n) {
				neighbours[i] = append(neighbours[i], n)
			}
		}
	}
	for round := range 400 {
		for i := range all {
			n := neighbours[i][round%8]
			noise := 0.95 + rng.Float64()*0.1
			all[i] = Update(all[i], all[n], real(i, n)*noise, uint64(i))
		}
	}
	var errors []float64
	for a := range hosts {
		for b := range a {
			if !slices.Contains(neighbours[a], b) && !slices.Contains(neighbours[b], a) {
				errors = append(errors, math.Abs(Distance(all[a], all[b])-real(a, b))/real(a, b))
			}
		}
	}
	slices.Sort(errors)
	median, p90 := errors[len(errors)/2], errors[len(errors)*9/10]
	t.Logf("relative error of %d pairs that never measured: median %.3f, p90 %.3f", len(errors), median, p90)
	require.Less(t, median, 0.05)
	require.Less(t, p90, 0.4)
}

func TestWhatCannotBeTeachesNothing(t *testing.T) {
	own, other := New(), New()
	for _, rtt := range []float64{0, -1, math.NaN(), math.Inf(1), MaxRTT * 2} {
		require.Equal(t, own, Update(own, other, rtt, 1))
	}
	other.Vector[0] = math.NaN()
	require.Equal(t, own, Update(own, other, 10, 1))
	require.False(t, Valid(other))
}

func TestMean(t *testing.T) {
	_, _, ok := Mean(nil)
	require.False(t, ok)
	a, b := New(), New()
	a.Vector, b.Vector = [3]float64{10, 0, 0}, [3]float64{20, 0, 0}
	a.Height = 3
	mean, spread, ok := Mean([]wire.Coordinate{a, b})
	require.True(t, ok)
	require.Equal(t, [3]float64{15, 0, 0}, mean.Vector)
	require.InDelta(t, 8, spread, 1e-9)
}

// Whatever is measured, by whomever: coordinates stay valid, and distances are symmetric.
func TestCoordinatesStayValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := []wire.Coordinate{New(), New(), New()}
		for range rapid.IntRange(1, 100).Draw(t, "samples") {
			a, b := rapid.IntRange(0, 2).Draw(t, "a"), rapid.IntRange(0, 2).Draw(t, "b")
			all[a] = Update(all[a], all[b], rapid.Float64().Draw(t, "rtt"), uint64(a))
			if !Valid(all[a]) {
				t.Fatalf("invalid: %+v", all[a])
			}
			if Distance(all[a], all[b]) != Distance(all[b], all[a]) || Distance(all[a], all[b]) < 0 {
				t.Fatal("distance is not symmetric")
			}
		}
	})
}
