// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
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

func showNotes(out io.Writer, p kernels.Result) {
	failed := false
	for _, n := range p.Notes {
		what := "failed"
		if n.Skipped {
			what = "skipped"
		} else {
			failed = true
		}
		fmt.Fprintf(out, "        %s %s: %s\n", what, n.Test, indent(n.Text))
	}
	if !p.Passed && !failed && p.Tail != "" {
		fmt.Fprintf(out, "        %s\n", indent(p.Tail))
	}
}

func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n          ") }
