// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"slices"
)

// Levels of a finding.
const (
	// OK is as it should be.
	OK = "ok"
	// Note is worth knowing and harms nothing.
	Note = "note"
	// Warning harms something, or will soon.
	Warning = "warning"
	// Failure keeps traffic from its destination.
	Failure = "failure"
)

// Finding is one thing that was looked at.
type Finding struct {
	Level string `json:"level"`
	// Subject is what it is about, such as "peer 0123456789abcdef01234567".
	Subject string `json:"subject"`
	Text    string `json:"finding"`
	// Advice says what to do; empty where nothing has to be done.
	Advice string `json:"advice"`
}

// Findings are all that was looked at, in the order in which a person would.
type Findings []Finding

func (f *Findings) add(level, subject, text, advice string) {
	*f = append(*f, Finding{level, subject, text, advice})
}

// Failed counts the failures.
func (f Findings) Failed() (n int) {
	for _, one := range f {
		if one.Level == Failure {
			n++
		}
	}
	return n
}

// Sort puts the worst first; what is equally bad keeps its order.
func (f Findings) Sort() {
	rank := func(level string) int { return slices.Index([]string{Failure, Warning, Note, OK}, level) }
	slices.SortStableFunc(f, func(a, b Finding) int { return rank(a.Level) - rank(b.Level) })
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
