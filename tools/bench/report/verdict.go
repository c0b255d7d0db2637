// SPDX-License-Identifier: Apache-2.0

package report

import (
	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
	"github.com/oakestra/oakestra-ebpf/tools/bench/stats"
)

// Ruling is how a demand stands.
type Ruling string

// The rulings.
const (
	Holds Ruling = "holds"
	// ByInterval is a mean above the limit whose interval, narrow enough, includes it.
	ByInterval Ruling = "holds by interval"
	Fails      Ruling = "fails"
	// Undecided takes more rounds.
	Undecided  Ruling = "more rounds needed"
	Unmeasured Ruling = "not measured"
)

// What a ruling takes.
const (
	leastRounds = 32
	narrow      = 0.03 // half-width of an interval that may include the limit
	narrowBulk  = 0.05
)

// Verdict is a demand and how it stands for one workload.
type Verdict struct {
	plan.Comparison
	Title    string         `json:"title"`
	Workload string         `json:"workload"`
	Limit    float64        `json:"limit"`
	Ratio    stats.Interval `json:"ratio,omitzero"`
	Ruling   Ruling         `json:"ruling"`
}

func judge(ratios []RatioFigure) (out []Verdict) {
	for _, d := range plan.Demands() {
		for _, w := range plan.Workloads() {
			limit, asked := d.Limits[w.Name]
			if !asked {
				continue
			}
			v := Verdict{Comparison: d.Comparison, Title: d.Title, Workload: w.Name, Limit: limit, Ruling: Unmeasured}
			for _, r := range ratios {
				if r.Comparison == d.Comparison && r.Workload == w.Name {
					v.Ratio, v.Ruling = r.Interval, Rule(r.Interval, limit, w)
				}
			}
			out = append(out, v)
		}
	}
	return out
}

// Rule judges a ratio.
func Rule(r stats.Interval, limit float64, w plan.Workload) Ruling {
	width := narrow
	if w.Kind == plan.Bulk.Kind {
		width = narrowBulk
	}
	switch {
	case r.Low > limit:
		return Fails
	case r.Rounds < leastRounds:
		return Undecided
	case r.Mean <= limit:
		return Holds
	case r.HalfWidth() <= width:
		return ByInterval
	}
	return Undecided
}
