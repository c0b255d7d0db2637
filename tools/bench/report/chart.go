// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"html"
	"strings"

	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
)

// Sizes of the chart, in pixels.
const (
	labelWidth = 120
	barWidth   = 420
	barHeight  = 16
	barGap     = 4
	headHeight = 34
	chartWidth = labelWidth + barWidth + 150
)

// colours of the ways, told apart by people who see few colours too.
var colours = []struct{ way, fill string }{
	{"oak", "#0072b2"}, {"nft", "#d55e00"}, {"iptables", "#cc79a7"}, {"routed", "#009e73"}, {"host", "#999999"},
}

// Chart is an SVG of the main table, a group of bars a workload and a bar a variant, and of what new connections cost among many services.
// Bars are processor time for the same work; shorter is better.
func Chart(f Figures) string {
	var b strings.Builder
	y := headHeight
	for _, w := range plan.Workloads() {
		y = group(&b, f, w.Name, "table", w, y)
	}
	y = group(&b, f, "connect, among services × instances", plan.Many(0).Name, plan.Connect, y)
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="#ffffff"/>
<text x="8" y="20" font-size="14">Processor time for the same work, median and quartiles; shorter is better</text>
%s</svg>
`, chartWidth, y, chartWidth, y, b.String())
}

// group draws one workload of a part from y on and returns where it ends.
func group(b *strings.Builder, f Figures, title, part string, w plan.Workload, y int) int {
	var bars []SliceFigure
	most := 0.0
	for _, s := range f.Slices {
		if s.Workload == w.Name && s.Part == part {
			bars, most = append(bars, s), max(most, s.Cost.High)
		}
	}
	if len(bars) == 0 {
		return y
	}
	y += 18
	fmt.Fprintf(b, "<text x=\"8\" y=\"%d\" font-weight=\"bold\">%s</text>\n", y, html.EscapeString(title))
	y += 8
	for _, s := range bars {
		x := func(v float64) float64 { return labelWidth + v/most*barWidth }
		middle := float64(y) + barHeight/2
		_, cost := units(s)
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%.0f\" text-anchor=\"end\">%s</text>\n", labelWidth-6, middle+4, html.EscapeString(s.Variant))
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", labelWidth, y, x(s.Cost.Median)-labelWidth, barHeight, colour(s.Variant))
		fmt.Fprintf(b, "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#000000\"/>\n", x(s.Cost.Low), middle, x(s.Cost.High))
		median, _, _ := strings.Cut(cost, " ")
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%.0f\">%s %s</text>\n", x(s.Cost.High)+6, middle+4, median, cost[strings.LastIndex(cost, " ")+1:])
		y += barHeight + barGap
	}
	return y + 8
}

func colour(variant string) string {
	for _, c := range colours {
		if strings.HasPrefix(variant, c.way) {
			return c.fill
		}
	}
	return "#000000"
}
