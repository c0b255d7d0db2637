// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
	"github.com/oakestra/oakestra-ebpf/tools/bench/trial"
)

// negligible is the share of a unit's processor time below which a program is not worth a line.
const negligible = 0.0005

func programsCommand(out, progress io.Writer) *cobra.Command {
	var netmanager string
	var only []string
	var cpu int
	var slice time.Duration
	cmd := &cobra.Command{
		Use: "programs", Short: "Show how much of a unit's processor time each eBPF program takes", Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			parts, err := plan.Only(plan.All(0, 0), only)
			if err != nil {
				return cmdline.Usagef("flag --only: %v", err)
			}
			options, err := stageOptions(netmanager, cpu, slice, sayTo(progress))
			if err != nil {
				return err
			}
			return programs(cmd.Context(), parts, options, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&netmanager, "netmanager", filepath.Join("bin", "NetManager"), "NetManager's program")
	f.StringSliceVar(&only, "only", []string{"table", "oak", "oak-same", "oak6"}, "parts, variants, workloads or VARIANT/WORKLOAD to keep to")
	f.DurationVar(&slice, "slice", time.Second, "how long each measurement takes")
	f.IntVar(&cpu, "cpu", runtime.NumCPU()-1, "processor that both ends of the traffic are pinned to")
	return cmd
}

func programs(ctx context.Context, parts []plan.Part, options trial.Options, out io.Writer) (err error) {
	stage, err := trial.Open(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Close()) }()
	built := map[plan.Setup]bool{}
	for _, p := range parts {
		for _, slice := range p.Slices {
			if setup := slice.Variant.Setup; !built[setup] {
				if err := stage.Build(ctx, setup); err != nil {
					return err
				}
				built[setup] = true
			}
			cost, times, err := stage.Programs(ctx, slice)
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(out, "%s: %.1f ns a unit\n", slice.Name(), cost)
			for _, t := range times {
				unit := t.PerUnit * float64(t.Each)
				if unit < negligible*cost {
					continue
				}
				_, _ = fmt.Fprintf(out, "  %-20s %6d ns a run %10.4f runs a unit %9.1f ns a unit %5.1f %%\n", t.Name, t.Each.Nanoseconds(), t.PerUnit, unit, 100*unit/cost)
			}
		}
	}
	return nil
}
