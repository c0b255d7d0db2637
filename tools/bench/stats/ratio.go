// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Interval is an estimate with its 95 % confidence interval.
type Interval struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	// Rounds is how many rounds it is made of.
	Rounds int `json:"rounds"`
}

func (i Interval) String() string {
	return fmt.Sprintf("%.3f [%.3f–%.3f]", i.Mean, i.Low, i.High)
}

// HalfWidth is how far the interval's ends lie from its mean, as a share of it, the farther one counting.
func (i Interval) HalfWidth() float64 {
	return max(i.High/i.Mean-1, 1-i.Low/i.Mean)
}

// ErrTooFew is returned for fewer rounds than an interval takes.
var ErrTooFew = errors.New("fewer than two rounds")

// Ratio is the geometric mean of the ratios of the same round, as Student's t sees their logarithms. Both have to be as long.
func Ratio(over, under []float64) (Interval, error) {
	if len(over) != len(under) {
		return Interval{}, fmt.Errorf("make a ratio: %d rounds over %d", len(over), len(under))
	}
	if len(over) < 2 {
		return Interval{}, fmt.Errorf("make a ratio of %d: %w", len(over), ErrTooFew)
	}
	logs := make([]float64, len(over))
	mean := 0.0
	for i := range over {
		if over[i] <= 0 || under[i] <= 0 {
			return Interval{}, fmt.Errorf("make a ratio: round %d has %g over %g", i, over[i], under[i])
		}
		logs[i] = math.Log(over[i] / under[i])
		mean += logs[i] / float64(len(over))
	}
	square := 0.0
	for _, l := range logs {
		square += (l - mean) * (l - mean)
	}
	n := float64(len(logs))
	half := student95(len(logs)-1) * math.Sqrt(square/(n-1)/n)
	return Interval{Mean: math.Exp(mean), Low: math.Exp(mean - half), High: math.Exp(mean + half), Rounds: len(logs)}, nil
}

// student95 is the two-sided 95 % quantile of Student's t distribution, by the expansion of Cornish and Fisher, whose error is
// below one in a thousand from three degrees of freedom on; below, it is as tabulated.
func student95(freedom int) float64 {
	switch freedom {
	case 1:
		return 12.706
	case 2:
		return 4.303
	}
	const z = 1.959964
	v := float64(freedom)
	z3, z5, z7 := z*z*z, z*z*z*z*z, z*z*z*z*z*z*z
	return z + (z3+z)/(4*v) + (5*z5+16*z3+3*z)/(96*v*v) + (3*z7+19*z5+17*z3-15*z)/(384*v*v*v)
}

// Spread is the middle of a set of figures and where most of them lie.
type Spread struct {
	Median float64 `json:"median"`
	// Low and High are the quartiles.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// SpreadOf returns the zero Spread of nothing.
func SpreadOf(values []float64) Spread {
	return Spread{Median: Quantile(values, 0.5), Low: Quantile(values, 0.25), High: Quantile(values, 0.75)}
}

// Quantile interpolates between the two values nearest to the share q; 0 of nothing.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	at := q * float64(len(s)-1)
	i := int(at)
	if i+1 >= len(s) {
		return s[len(s)-1]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}
