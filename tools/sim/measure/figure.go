// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"math"
	"slices"
	"time"
)

// Figure is one number that was measured.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// AtMost and AtLeast are what it has to be; nil where nothing is asked.
	AtMost  *float64 `json:"at_most,omitempty"`
	AtLeast *float64 `json:"at_least,omitempty"`
}

// Holds reports whether the figure is what it has to be.
func (f Figure) Holds() bool {
	return (f.AtMost == nil || f.Value <= *f.AtMost) && (f.AtLeast == nil || f.Value >= *f.AtLeast)
}

// Asked reports whether it has to be anything.
func (f Figure) Asked() bool { return f.AtMost != nil || f.AtLeast != nil }

// Result is what a part has found.
type Result struct {
	Part string    `json:"part"`
	At   time.Time `json:"at"`
	// Took is how long it was measured, in seconds.
	Took float64 `json:"took_s"`
	// Strangers is the part of the machine's processors that others took meanwhile, 0 to 1: with more than a little, times say nothing.
	Strangers float64  `json:"strangers"`
	Figures   []Figure `json:"figures"`
	// Notes are what else is to be known, such as what could not be measured.
	Notes []string `json:"notes,omitempty"`
}

func (r *Result) add(name string, value float64, unit string) *Figure {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit})
	return &r.Figures[len(r.Figures)-1]
}

func (f *Figure) atMost(v float64)  { f.AtMost = &v }
func (f *Figure) atLeast(v float64) { f.AtLeast = &v }

// times adds median and tail of measured times, in milliseconds, and returns the latter. most, if not 0, is what the tail may be.
func (r *Result) times(name string, d []time.Duration, most time.Duration) {
	if len(d) == 0 {
		r.Notes = append(r.Notes, name+": nothing was measured")
		return
	}
	r.add(name+", p50", ms(quantile(d, 0.5)), "ms")
	tail := r.add(name+", p99", ms(quantile(d, 0.99)), "ms")
	if most > 0 {
		tail.atMost(ms(most))
	}
	r.add(name+", slowest", ms(slices.Max(d)), "ms")
	r.add(name+", count", float64(len(d)), "")
}

// quantile returns the value below which a part q of all values lies: the nearest that was measured.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(d))
	return s[min(max(int(math.Ceil(q*float64(len(s))))-1, 0), len(s)-1)]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func mib(bytes int64) float64    { return float64(bytes) / (1 << 20) }
