// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Table says of each kind of fault how often it came, and how long it took from the heal of such a step until all was well; then the same of
// all steps, and how many pairs overlapped.
func Table(passed []Passed) string {
	took := map[Kind][]int64{}
	var all []int64
	pairs := 0
	for _, p := range passed {
		all = append(all, p.Milliseconds)
		for _, k := range p.Kinds {
			took[k] = append(took[k], p.Milliseconds)
		}
		if p.Overlapped {
			pairs++
		}
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "kind\ttimes\tmedian\tslowest\t")
	row := func(name string, ms []int64) {
		if len(ms) == 0 {
			_, _ = fmt.Fprintf(t, "%s\t0\t\t\t\n", name)
			return
		}
		slices.Sort(ms)
		at := func(i int) time.Duration { return time.Duration(ms[i]) * time.Millisecond }
		_, _ = fmt.Fprintf(t, "%s\t%d\t%s\t%s\t\n", name, len(ms), at(len(ms)/2), at(len(ms)-1))
	}
	for _, k := range Kinds() {
		row(string(k), took[k])
	}
	row("all steps", all)
	_ = t.Flush() // into a buffer
	_, _ = fmt.Fprintf(&b, "%d pairs overlapped\n", pairs)
	return b.String()
}

// Short says what a run lacks to be a whole one: each kind of fault at least ten times, and twenty pairs that overlap.
func Short(passed []Passed) (lacking []string) {
	const leastOfKind, leastPairs = 10, 20
	count := map[Kind]int{}
	pairs := 0
	for _, p := range passed {
		for _, k := range p.Kinds {
			count[k]++
		}
		if p.Overlapped {
			pairs++
		}
	}
	for _, k := range Kinds() {
		if count[k] < leastOfKind {
			lacking = append(lacking, fmt.Sprintf("%q came %d times, want %d", k, count[k], leastOfKind))
		}
	}
	if pairs < leastPairs {
		lacking = append(lacking, fmt.Sprintf("%d pairs overlapped, want %d", pairs, leastPairs))
	}
	return lacking
}
