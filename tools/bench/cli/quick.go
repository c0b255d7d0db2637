// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/bench/load"
	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
	"github.com/oakestra/oakestra-ebpf/tools/bench/report"
	"github.com/oakestra/oakestra-ebpf/tools/bench/session"
	"github.com/oakestra/oakestra-ebpf/tools/bench/trial"
)

// A quick run measures for a shorter time, and goes on only while something seems worse.
const (
	quickSlice  = 200 * time.Millisecond
	leastQuick  = 6 // rounds
	quickBudget = 85 * time.Second
)

type quickOptions struct {
	netmanager, against string
	factor              float64
	cpu                 int
	out                 io.Writer
	say                 func(format string, args ...any)
}

func quickCommand(out, progress io.Writer) *cobra.Command {
	o := &quickOptions{out: out, say: sayTo(progress)}
	cmd := &cobra.Command{
		Use: "quick", Short: "Measure in under two minutes, and fail if it is much worse than what was measured before", Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.netmanager, "netmanager", filepath.Join("bin", "NetManager"), "NetManager's program")
	f.StringVar(&o.against, "against", filepath.Join("tools", "bench", report.JSONFile), "what was measured before")
	f.Float64Var(&o.factor, "factor", 1.25, "how much worse than before is too much")
	f.IntVar(&o.cpu, "cpu", runtime.NumCPU()-1, "processor that both ends of the traffic are pinned to")
	return cmd
}

func (o *quickOptions) run(ctx context.Context) (err error) {
	before, err := report.Read(o.against)
	if err != nil {
		return err
	}
	options, err := stageOptions(o.netmanager, o.cpu, quickSlice, o.say)
	if err != nil {
		return err
	}
	start := time.Now()
	stage, err := trial.Open(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Close()) }()
	part := plan.Quick()
	// What was not measured before can neither be compared nor missed.
	part.Slices = slices.DeleteFunc(part.Slices, func(s plan.Slice) bool {
		return !slices.ContainsFunc(before.Slices, func(b report.SliceFigure) bool {
			return b.Part == part.Name && b.Variant == s.Variant.Name && b.Workload == s.Workload.Name
		})
	})
	for _, setup := range part.Setups() {
		if err := stage.Build(ctx, setup); err != nil {
			return err
		}
	}
	var rounds []session.Round
	for n := 0; ; n++ {
		r := session.Round{Part: part.Name, Number: n, Results: map[string]load.Result{}}
		err := trial.Untimed(func() error {
			for _, slice := range part.Round(n) {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if r.Results[slice.Name()], err = stage.Measure(ctx, slice); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		rounds = append(rounds, r)
		if n+1 < leastQuick {
			continue
		}
		now, err := report.Make([]plan.Part{part}, rounds, nil)
		if err != nil {
			return err
		}
		worse := report.Worse(before, now, o.factor)
		if len(worse) > 0 && time.Since(start) < quickBudget {
			continue
		}
		return o.conclude(now, worse)
	}
}

func (o *quickOptions) conclude(now report.Figures, worse []string) error {
	for _, r := range now.Ratios {
		_, _ = fmt.Fprintf(o.out, "%-32s %-8s %s\n", r.Over+" / "+r.Under, r.Workload, r.Interval)
	}
	if len(worse) > 0 {
		return fmt.Errorf("more than %.2f times what was measured before:\n%s", o.factor, strings.Join(worse, "\n"))
	}
	return nil
}
