// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/kernels"
)

// show prints a report and returns whether all passed.
func show(out io.Writer, r kernels.Report) (ok bool) {
	if r.Kernel != "" {
		fmt.Fprintf(out, "Linux %s, %v\n", r.Kernel, r.Took.Round(100*time.Millisecond))
	}
	ok = true
	for _, p := range r.Results {
		verdict := "ok"
		if !p.Passed {
			verdict, ok = "FAIL", false
		}
		fmt.Fprintf(out, "  %-5s %-22s %3d passed %3d failed %3d skipped %7.2fs", verdict, p.Package, p.Pass, p.Fail, p.Skip, p.Took.Seconds())
		if p.Fault != "" {
			fmt.Fprintf(out, "  %s", p.Fault)
		}
		fmt.Fprintln(out)
		showNotes(out, p)
	}
	return ok
}

// showNotes says each reason once, however many tests have it, such as that a program cannot be loaded.
func showNotes(out io.Writer, p kernels.Result) {
	failed := false
	said := map[string]string{}
	for _, n := range p.Notes {
		what := "failed"
		if n.Skipped {
			what = "skipped"
		} else {
			failed = true
		}
		reason := withoutPlace(n.Text)
		switch first := said[reason]; {
		case reason == "":
			fmt.Fprintf(out, "        %s %s\n", what, n.Test)
		case first != "":
			fmt.Fprintf(out, "        %s %s: as %s\n", what, n.Test, first)
		default:
			said[reason] = n.Test
			fmt.Fprintf(out, "        %s %s: %s\n", what, n.Test, indent(n.Text))
		}
	}
	if !p.Passed && !failed && p.Tail != "" {
		fmt.Fprintf(out, "        %s\n", indent(p.Tail))
	}
}

// place is where the testing package says that something was printed.
var place = regexp.MustCompile(`[a-z0-9_]+_test\.go:[0-9]+: `)

func withoutPlace(text string) string { return strings.TrimSpace(place.ReplaceAllString(text, "")) }

func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n          ") }
