// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"

	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
)

// Worse lists the ratios of this project's variants that are above what was found before by more than the factor.
func Worse(before, now Figures, factor float64) (out []string) {
	compared := 0
	for _, n := range now.Ratios {
		if !ours(n.Comparison) {
			continue
		}
		for _, b := range before.Ratios {
			if b.Comparison != n.Comparison || b.Workload != n.Workload {
				continue
			}
			compared++
			if n.Mean > factor*b.Mean {
				out = append(out, fmt.Sprintf("%s / %s, %s: %s, and %s before", n.Over, n.Under, n.Workload, interval(n.Interval), interval(b.Interval)))
			}
		}
	}
	if compared == 0 {
		out = append(out, "nothing was measured that was measured before")
	}
	return out
}

// ours reports whether this project is judged by a comparison: the others are of peers among themselves.
func ours(c plan.Comparison) bool {
	for _, d := range plan.Demands() {
		if d.Comparison == c {
			return true
		}
	}
	return false
}
