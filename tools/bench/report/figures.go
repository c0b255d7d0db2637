// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/bench/load"
	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
	"github.com/oakestra/oakestra-ebpf/tools/bench/session"
	"github.com/oakestra/oakestra-ebpf/tools/bench/stats"
)

// Figures are all that a run has found.
type Figures struct {
	Machine Machine         `json:"machine"`
	Slices  []SliceFigure   `json:"slices"`
	Ratios  []RatioFigure   `json:"ratios"`
	Demands []Verdict       `json:"demands"`
	Speeds  []session.Speed `json:"speeds,omitempty"`
}

// Machine is where it was measured, and how that was set up.
type Machine struct {
	Version string    `json:"version"`
	At      time.Time `json:"at"`
	Kernel  string    `json:"kernel"`
	CPU     string    `json:"cpu"`
	CPUs    int       `json:"cpus"`
	// Clock is the kernel's clock source, Congestion TCP's congestion control.
	Clock      string `json:"clock"`
	Congestion string `json:"congestion"`
	// Programs are versions of the tools that loaded the peers' rules.
	Programs map[string]string `json:"programs"`
	// Offloads are the features of an uplink that are on, as it comes and without offloads.
	Offloads      []string `json:"offloads"`
	PlainOffloads []string `json:"plain_offloads"`
	// MTUs are those of containers by way.
	MTUs map[string]int `json:"mtus"`
}

// SliceFigure is what one variant did with one workload.
type SliceFigure struct {
	Part     string `json:"part"`
	Variant  string `json:"variant"`
	Workload string `json:"workload"`
	Rounds   int    `json:"rounds"`
	// Cost is the processor time of a unit in nanoseconds, Rate the units of a second.
	Cost stats.Spread `json:"cost_ns"`
	Rate stats.Spread `json:"rate"`
	// P50 and P99 are how long a unit took, in microseconds.
	P50 stats.Spread `json:"p50_us,omitzero"`
	P99 stats.Spread `json:"p99_us,omitzero"`
	// Lost is the share of datagrams that were sent and not received.
	Lost float64 `json:"lost,omitempty"`
	// Strangers is the share of the processor's time that others took, Left what nobody wanted.
	Strangers float64 `json:"strangers"`
	Left      float64 `json:"left"`
}

// RatioFigure is how a comparison came out for one workload.
type RatioFigure struct {
	plan.Comparison
	Workload string `json:"workload"`
	stats.Interval
}

// Make makes the figures of finished rounds. Ratios are made of rounds that have both sides.
func Make(parts []plan.Part, rounds []session.Round, speeds []session.Speed) (Figures, error) {
	f := Figures{Speeds: speeds}
	for _, p := range parts {
		for _, s := range p.Slices {
			if figure, ok := sliceFigure(p.Name, s, rounds); ok {
				f.Slices = append(f.Slices, figure)
			}
		}
	}
	slices.SortStableFunc(f.Slices, func(a, b SliceFigure) int { return workloadIndex(a.Workload) - workloadIndex(b.Workload) })
	for _, c := range plan.Comparisons() {
		for _, w := range plan.Workloads() {
			r, ok, err := ratio(c, w.Name, rounds)
			if err != nil {
				return f, err
			}
			if ok {
				f.Ratios = append(f.Ratios, RatioFigure{c, w.Name, r})
			}
		}
	}
	f.Demands = judge(f.Ratios)
	return f, nil
}

func workloadIndex(name string) int {
	return slices.IndexFunc(plan.Workloads(), func(w plan.Workload) bool { return w.Name == name })
}

func sliceFigure(part string, s plan.Slice, rounds []session.Round) (SliceFigure, bool) {
	var cost, rate, p50, p99, lost, strangers, left []float64
	for _, r := range rounds {
		x, ok := r.Results[s.Name()]
		if !ok || r.Part != part {
			continue
		}
		cost, rate = append(cost, x.Cost()), append(rate, x.Rate())
		strangers = append(strangers, float64(x.Strangers)/float64(x.Wall))
		left = append(left, float64(x.Left)/float64(x.Wall))
		if x.P50 > 0 {
			p50, p99 = append(p50, micro(x.P50)), append(p99, micro(x.P99))
		}
		if x.Sent > 0 {
			lost = append(lost, max(0, 1-float64(x.Units)/float64(x.Sent)))
		}
	}
	return SliceFigure{
		Part: part, Variant: s.Variant.Name, Workload: s.Workload.Name, Rounds: len(cost), Cost: stats.SpreadOf(cost), Rate: stats.SpreadOf(rate),
		P50: stats.SpreadOf(p50), P99: stats.SpreadOf(p99), Lost: stats.Quantile(lost, 0.5),
		Strangers: stats.Quantile(strangers, 0.5), Left: stats.Quantile(left, 0.5),
	}, len(cost) > 0
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// ratio reports whether there are rounds enough for one.
func ratio(c plan.Comparison, workload string, rounds []session.Round) (stats.Interval, bool, error) {
	var over, under []float64
	for _, r := range rounds {
		o, haveO := r.Results[c.Over+"/"+workload]
		u, haveU := r.Results[c.Under+"/"+workload]
		if r.Part == c.Part && haveO && haveU {
			over, under = append(over, cost(o)), append(under, cost(u))
		}
	}
	i, err := stats.Ratio(over, under)
	if errors.Is(err, stats.ErrTooFew) {
		return i, false, nil
	}
	return i, err == nil, err
}

func cost(r load.Result) float64 { return r.Cost() }
