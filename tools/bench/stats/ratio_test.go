// SPDX-License-Identifier: Apache-2.0

package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/bench/stats"
)

func TestRatioIsTheGeometricMeanOfRounds(t *testing.T) {
	r, err := stats.Ratio([]float64{2, 8, 4}, []float64{1, 1, 1})
	require.NoError(t, err)
	require.InDelta(t, 4, r.Mean, 1e-9)
	// The logarithms are 1, 3 and 2 times ln 2: their standard error is ln 2 over the root of 3, and t with 2 degrees is 4.303.
	half := 4.303 * math.Ln2 / math.Sqrt(3)
	require.InDelta(t, 4*math.Exp(half), r.High, 1e-3)
	require.InDelta(t, 4*math.Exp(-half), r.Low, 1e-6)
	require.Equal(t, 3, r.Rounds)
}

func TestWhatBothSidesShareCancelsOut(t *testing.T) {
	r, err := stats.Ratio([]float64{10, 2000, 0.3}, []float64{20, 4000, 0.6})
	require.NoError(t, err)
	require.InDelta(t, 0.5, r.Mean, 1e-12)
	require.InDelta(t, 0, r.HalfWidth(), 1e-9)
}

func TestRatioRefusesWhatItCannotBeMadeOf(t *testing.T) {
	_, err := stats.Ratio([]float64{1}, []float64{1})
	require.ErrorIs(t, err, stats.ErrTooFew)
	_, err = stats.Ratio([]float64{1, 2}, []float64{1})
	require.ErrorContains(t, err, "2 rounds over 1")
	_, err = stats.Ratio([]float64{1, 2}, []float64{1, 0})
	require.ErrorContains(t, err, "round 1 has 2 over 0")
}

// Intervals of 95 % hold the truth in 95 % of all runs, with few rounds and with many.
func TestIntervalsHoldTheTruthAsOftenAsTheySay(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, rounds := range []int{2, 4, 8, 32} {
		held := 0
		const runs = 4000
		for range runs {
			over, under := make([]float64, rounds), make([]float64, rounds)
			for i := range rounds {
				machine := math.Exp(random.NormFloat64()) // what changes from round to round
				over[i] = 1.25 * machine * math.Exp(0.1*random.NormFloat64())
				under[i] = machine * math.Exp(0.1*random.NormFloat64())
			}
			r, err := stats.Ratio(over, under)
			require.NoError(t, err)
			if r.Low <= 1.25 && 1.25 <= r.High {
				held++
			}
		}
		require.InDelta(t, 0.95, float64(held)/runs, 0.012, "%d rounds", rounds)
	}
}

func TestQuantilesInterpolate(t *testing.T) {
	require.Zero(t, stats.Quantile(nil, 0.5))
	require.Equal(t, 2.5, stats.Quantile([]float64{4, 1, 3, 2}, 0.5))
	require.Equal(t, 4.0, stats.Quantile([]float64{4, 1, 3, 2}, 1))
	require.Equal(t, stats.Spread{Median: 3, Low: 2, High: 4}, stats.SpreadOf([]float64{5, 4, 3, 2, 1}))
}
