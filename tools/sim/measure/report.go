// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Names of the files of a report.
const (
	JSONFile     = "results.json"
	MarkdownFile = "results.md"
	ChartFile    = "results.svg"
)

// Report is what all parts have found.
type Report struct {
	Version string   `json:"version"`
	Machine string   `json:"machine"`
	Results []Result `json:"results"`
}

// Holds reports whether every figure is what it has to be.
func (r *Report) Holds() bool {
	return !slices.ContainsFunc(r.Results, func(x Result) bool {
		return slices.ContainsFunc(x.Figures, func(f Figure) bool { return !f.Holds() })
	})
}

// Markdown is the report for people.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The control plane under load\n\nMade by `make bench-control`. %s, %s.\n", r.Version, r.Machine)
	for _, x := range r.Results {
		title := x.Part
		for _, p := range parts() {
			if p.name == x.Part {
				title = p.title
			}
		}
		fmt.Fprintf(&b, "\n## %s\n\nPart `%s`, %s, %.0f s; others took %.0f %% of the processors meanwhile.\n\n| | | has to be | |\n|---|---:|---|---|\n",
			title, x.Part, x.At.Format("2006-01-02 15:04"), x.Took, 100*x.Strangers)
		for _, f := range x.Figures {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.Name, amount(f.Value, f.Unit), f.limit(), f.verdict())
		}
		for _, n := range x.Notes {
			fmt.Fprintf(&b, "\n%s.\n", n)
		}
	}
	return b.String()
}

func (f Figure) limit() string {
	switch {
	case f.AtMost != nil:
		return "≤ " + amount(*f.AtMost, f.Unit)
	case f.AtLeast != nil:
		return "≥ " + amount(*f.AtLeast, f.Unit)
	}
	return ""
}

func (f Figure) verdict() string {
	switch {
	case !f.Asked():
		return ""
	case f.Holds():
		return "holds"
	}
	return "**missed**"
}

// amount writes a number with about three digits.
func amount(v float64, unit string) string {
	digits := 0
	switch {
	case v != 0 && v < 1 && v > -1:
		digits = 3
	case v < 100 && v > -100 && v != float64(int64(v)):
		digits = 1
	}
	return strings.TrimSpace(strconv.FormatFloat(v, 'f', digits, 64) + " " + unit)
}

// Write writes all forms of the report into a folder.
func (r *Report) Write(dir string) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, JSONFile), append(data, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, MarkdownFile), []byte(r.Markdown()), 0o644),
		os.WriteFile(filepath.Join(dir, ChartFile), []byte(r.Chart()), 0o644),
	)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// Sizes of the chart, in pixels. A figure that just holds ends at the line.
const (
	rowHeight  = 18
	labelWidth = 470
	barWidth   = 260
	chartWidth = labelWidth + barWidth*3/2 + 130
)

// Chart shows how far each figure is from what it has to be: a bar for how much of what is allowed it takes.
func (r *Report) Chart() string {
	var rows strings.Builder
	y := 30
	for _, x := range r.Results {
		for _, f := range x.Figures {
			share, ok := f.share()
			if !ok {
				continue
			}
			colour := "#3a7d44"
			if !f.Holds() {
				colour = "#b3261e"
			}
			fmt.Fprintf(&rows, `<text x="%d" y="%d" text-anchor="end">%s: %s</text><rect x="%d" y="%d" width="%.0f" height="%d" fill="%s"/><text x="%.0f" y="%d">%s</text>`+"\n",
				labelWidth-6, y+13, x.Part, escape(f.Name), labelWidth, y+3, share*barWidth, rowHeight-5, colour,
				labelWidth+share*barWidth+5, y+13, escape(amount(f.Value, f.Unit)+" ("+f.limit()+")"))
			y += rowHeight
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">
<rect width="100%%" height="100%%" fill="white"/><text x="8" y="18" font-size="13">What is taken of what is allowed; the line is all of it</text>
%s<line x1="%d" y1="26" x2="%d" y2="%d" stroke="black"/></svg>
`, chartWidth, y+10, rows.String(), labelWidth+barWidth, labelWidth+barWidth, y+4)
}

// share is how much of what is allowed a figure takes, 0 to 1.5; false if nothing is asked of it.
func (f Figure) share() (float64, bool) {
	switch {
	case f.AtMost != nil && *f.AtMost > 0:
		return min(max(f.Value / *f.AtMost, 0), 1.5), true
	case f.AtLeast != nil && f.Value > 0:
		return min(*f.AtLeast/f.Value, 1.5), true
	case f.AtLeast != nil:
		return 1.5, true
	}
	return 0, false
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
