// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
	"github.com/oakestra/oakestra-ebpf/tools/bench/stats"
)

// Markdown is the report for people.
func Markdown(f Figures) string {
	var b strings.Builder
	b.WriteString("# The dataplane beside its alternatives\n\nMade by `make bench-dataplane`. tools/bench/README.md says how it is measured and what the columns are.\n\n")
	machine(&b, f.Machine)
	verdicts(&b, f.Demands)
	ratios(&b, f.Ratios)
	for _, part := range partsOf(f) {
		table(&b, f, part)
	}
	speeds(&b, f)
	return b.String()
}

func partsOf(f Figures) (out []string) {
	for _, s := range f.Slices {
		if !slices.Contains(out, s.Part) {
			out = append(out, s.Part)
		}
	}
	return out
}

func machine(b *strings.Builder, m Machine) {
	fmt.Fprintf(b, "%s, %s, %d × %s, Linux %s, clock %s, TCP %s.\n", m.Version, m.At.UTC().Format("2006-01-02"), m.CPUs, m.CPU, m.Kernel, m.Clock, m.Congestion)
	if len(m.Programs) > 0 {
		fmt.Fprintf(b, "Peers' rules loaded by %s.\n", joinMap(m.Programs))
	}
	if len(m.MTUs) > 0 {
		fmt.Fprintf(b, "MTU of containers: %s.\n", joinMap(m.MTUs))
	}
	if len(m.Offloads) > 0 {
		fmt.Fprintf(b, "\nUplink: %s.\n\nUplink of `-plain`: %s.\n", strings.Join(m.Offloads, ", "), strings.Join(m.PlainOffloads, ", "))
	}
	b.WriteString("\n")
}

func joinMap[V any](m map[string]V) string {
	var out []string
	for k, v := range m {
		out = append(out, fmt.Sprintf("%s %v", k, v))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func verdicts(b *strings.Builder, demands []Verdict) {
	if !slices.ContainsFunc(demands, func(v Verdict) bool { return v.Ruling != Unmeasured }) {
		return
	}
	b.WriteString("## What has to hold\n\nRatios of processor time for the same work, with their 95 % intervals.\n\n| | workload | limit | ratio | rounds | |\n|---|---|---|---|---|---|\n")
	for _, v := range demands {
		r := "–"
		if v.Ruling != Unmeasured {
			r = interval(v.Ratio)
		}
		fmt.Fprintf(b, "| %s | %s | ≤ %.2f | %s | %d | %s |\n", v.Title, v.Workload, v.Limit, r, v.Ratio.Rounds, v.Ruling)
	}
	b.WriteString("\n")
}

func interval(i stats.Interval) string {
	return fmt.Sprintf("%.3f [%.3f–%.3f]", i.Mean, i.Low, i.High)
}

func ratios(b *strings.Builder, list []RatioFigure) {
	if len(list) == 0 {
		return
	}
	b.WriteString("## Ratios\n\n|")
	for _, w := range plan.Workloads() {
		fmt.Fprintf(b, " | %s", w.Name)
	}
	b.WriteString(" |\n|---|---|---|---|---|---|\n")
	for _, c := range plan.Comparisons() {
		cells, any := make([]string, len(plan.Workloads())), false
		for i, w := range plan.Workloads() {
			cells[i] = "–"
			for _, r := range list {
				if r.Comparison == c && r.Workload == w.Name {
					cells[i], any = interval(r.Interval), true
				}
			}
		}
		if any {
			fmt.Fprintf(b, "| %s / %s | %s |\n", c.Over, c.Under, strings.Join(cells, " | "))
		}
	}
	b.WriteString("\n")
}

func table(b *strings.Builder, f Figures, part string) {
	fmt.Fprintf(b, "## Part %s\n\nMedians with quartiles.\n\n| workload | variant | rounds | rate | processor time | p50 µs | p99 µs | lost | strangers |\n|---|---|---|---|---|---|---|---|---|\n", part)
	for _, s := range f.Slices {
		if s.Part != part {
			continue
		}
		rate, cost := units(s)
		p50, p99, lost := "–", "–", "–"
		if s.P50.Median > 0 {
			p50, p99 = spread(s.P50, 1), spread(s.P99, 1)
		}
		if s.Workload == plan.UDP.Name {
			lost = fmt.Sprintf("%.1f %%", 100*s.Lost)
		}
		fmt.Fprintf(b, "| %s | %s | %d | %s | %s | %s | %s | %s | %.1f %% |\n", s.Workload, s.Variant, s.Rounds, rate, cost, p50, p99, lost, 100*s.Strangers)
	}
	b.WriteString("\n")
}

// units puts rate and cost into what people read.
func units(s SliceFigure) (rate, cost string) {
	switch s.Workload {
	case plan.Bulk.Name, plan.Bulk4.Name: // bytes and nanoseconds a byte
		return spread(scale(s.Rate, 8e-9), 2) + " Gbit/s", spread(scale(s.Cost, 1e9/8/1e6), 1) + " ms/Gbit"
	case plan.UDP.Name:
		return spread(scale(s.Rate, 1e-3), 1) + " kpps", spread(scale(s.Cost, 1e-3), 2) + " µs"
	}
	return spread(s.Rate, 0) + " /s", spread(scale(s.Cost, 1e-3), 1) + " µs"
}

func scale(s stats.Spread, by float64) stats.Spread {
	return stats.Spread{Median: s.Median * by, Low: s.Low * by, High: s.High * by}
}

func spread(s stats.Spread, digits int) string {
	return fmt.Sprintf("%.*f [%.*f–%.*f]", digits, s.Median, digits, s.Low, digits, s.High)
}

func speeds(b *strings.Builder, f Figures) {
	if len(f.Speeds) == 0 {
		return
	}
	b.WriteString("## Programming\n\n| way | services | instances each | all taken in | one change, p50 | p99 | " +
		"from arrival, p50 | p99 | changes |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range f.Speeds {
		arrived := "– | –"
		if s.ArrivedP99 > 0 {
			arrived = fmt.Sprintf("%.2f ms | %.2f ms", s.ArrivedP50, s.ArrivedP99)
		}
		fmt.Fprintf(b, "| %s | %d | %d | %.2f s | %.2f ms | %.2f ms | %s | %d |\n", s.Way, s.Services, s.Endpoints, s.Load, s.P50, s.P99, arrived, s.Changes)
	}
	b.WriteString("\n")
}
