// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/bench/load"
	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
	"github.com/oakestra/oakestra-ebpf/tools/bench/report"
	"github.com/oakestra/oakestra-ebpf/tools/bench/session"
	"github.com/oakestra/oakestra-ebpf/tools/bench/trial"
)

// runOptions are the flags of a run.
type runOptions struct {
	netmanager     string
	only           []string
	rounds, growth int
	slice          time.Duration
	state          string
	cpu            int
	progress       io.Writer
	out            io.Writer
	version        string
}

func runCommand(version string, out, progress io.Writer) *cobra.Command {
	o := &runOptions{progress: progress, out: out, version: cmdline.Version(version)}
	cmd := &cobra.Command{
		Use: "run", Short: "Measure, or go on with a run that was broken off", Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.netmanager, "netmanager", filepath.Join("bin", "NetManager"), "NetManager's program")
	f.StringSliceVar(&o.only, "only", nil, "parts, variants, workloads or VARIANT/WORKLOAD to keep to")
	f.IntVar(&o.rounds, "rounds", 32, "rounds of the main table")
	f.IntVar(&o.growth, "growth-rounds", 8, "rounds of the other parts")
	f.DurationVar(&o.slice, "slice", 500*time.Millisecond, "how long each measurement takes")
	f.StringVar(&o.state, "state-dir", filepath.Join("dist", "bench-dataplane"), "folder of finished rounds")
	f.IntVar(&o.cpu, "cpu", runtime.NumCPU()-1, "processor that both ends of the traffic are pinned to")
	return cmd
}

func (o *runOptions) say(format string, args ...any) {
	_, _ = fmt.Fprintf(o.progress, "bench: "+format+"\n", args...)
}

func (o *runOptions) parts() ([]plan.Part, error) {
	return plan.Only([]plan.Part{plan.Table(o.rounds), plan.Policies(o.growth), plan.Many(o.growth)}, o.only)
}

func (o *runOptions) run(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("making network namespaces and loading eBPF programs needs root: run it as root")
	}
	parts, err := o.parts()
	if err != nil {
		return cmdline.Usagef("flag --only: %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	netmanager, err := filepath.Abs(o.netmanager)
	if err != nil {
		return fmt.Errorf("find NetManager: %w", err)
	}
	s, err := session.Open(o.state, o.version)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if err := o.part(ctx, p, s, trial.Options{Self: self, NetManager: netmanager, CPU: o.cpu, Time: o.slice, Progress: o.say}); err != nil {
			return err
		}
	}
	return o.report(parts, s)
}

// part measures the rounds of a part that are missing.
func (o *runOptions) part(ctx context.Context, p plan.Part, s *session.Session, options trial.Options) (err error) {
	var names []string
	for _, slice := range p.Slices {
		names = append(names, slice.Name())
	}
	have := s.Has(p.Name, names)
	if len(have) >= p.Rounds {
		o.say("%s: all %d rounds are there", p.Name, p.Rounds)
		return nil
	}
	stage, err := trial.Open(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Close()) }()
	o.say("%s: building %d setups", p.Name, len(p.Setups()))
	if err := stage.Build(ctx, p.Setups()); err != nil {
		return err
	}
	p.Slices = slices.DeleteFunc(p.Slices, func(slice plan.Slice) bool {
		can := stage.Can(slice)
		if !can {
			o.say("%s: NOT MEASURED: containers have no IPv6 addresses", slice.Name())
		}
		return !can
	})
	for n := range p.Rounds {
		if have[n] {
			continue
		}
		start := time.Now()
		r := session.Round{Part: p.Name, Number: n, Results: map[string]load.Result{}}
		for _, slice := range p.Round(n) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			result, err := stage.Measure(ctx, slice)
			if err != nil {
				return err
			}
			r.Results[slice.Name()] = result
		}
		if err := s.Add(r); err != nil {
			return err
		}
		o.say("%s: round %d of %d took %.0f s", p.Name, n+1, p.Rounds, time.Since(start).Seconds())
	}
	return nil
}

// report prints the report of what there is, and writes it beside the rounds.
func (o *runOptions) report(parts []plan.Part, s *session.Session) error {
	speeds, err := s.Speeds()
	if err != nil {
		return err
	}
	f, err := report.Make(parts, s.Rounds, speeds)
	if err != nil {
		return err
	}
	f.Machine = trial.Describe(o.version)
	if _, err := io.WriteString(o.out, report.Markdown(f)); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return report.Write(s.Dir(), f)
}
