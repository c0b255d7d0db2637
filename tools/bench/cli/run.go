// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
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

const (
	attempts = 3   // how often a disturbed slice is measured at most
	changes  = 200 // of services, for the speed of programming
)

// runOptions are the flags of a run.
type runOptions struct {
	netmanager     string
	only           []string
	rounds, growth int
	slice          time.Duration
	state          string
	cpu            int
	publish        string
	say            func(format string, args ...any)
	out            io.Writer
	version        string
	failed         []string // slices that could not be measured
}

func runCommand(version string, out, progress io.Writer) *cobra.Command {
	o := &runOptions{say: sayTo(progress), out: out, version: cmdline.Version(version)}
	cmd := &cobra.Command{
		Use: "run", Short: "Measure, or go on with a run that was broken off", Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.netmanager, "netmanager", filepath.Join("bin", "NetManager"), "NetManager's program")
	f.StringSliceVar(&o.only, "only", nil, "parts, variants, workloads or VARIANT/WORKLOAD to keep to")
	f.IntVar(&o.rounds, "rounds", 32, "rounds of the parts that demands are made of")
	f.IntVar(&o.growth, "growth-rounds", 8, "rounds of the other parts")
	f.DurationVar(&o.slice, "slice", 500*time.Millisecond, "how long each measurement takes")
	f.StringVar(&o.state, "state-dir", filepath.Join("dist", "bench-dataplane"), "folder of finished rounds")
	f.StringVar(&o.publish, "publish", "", "folder to write the report to as well")
	f.IntVar(&o.cpu, "cpu", runtime.NumCPU()-1, "processor that both ends of the traffic are pinned to")
	return cmd
}

// sayTo returns what tells progress.
func sayTo(w io.Writer) func(format string, args ...any) {
	return func(format string, args ...any) { _, _ = fmt.Fprintf(w, "bench: "+format+"\n", args...) }
}

// stageOptions finds the programs that a stage needs.
func stageOptions(netmanager string, cpu int, slice time.Duration, say func(string, ...any)) (trial.Options, error) {
	if os.Geteuid() != 0 {
		return trial.Options{}, errors.New("making network namespaces and loading eBPF programs needs root: run it as root")
	}
	self, err := os.Executable()
	if err != nil {
		return trial.Options{}, fmt.Errorf("find this program: %w", err)
	}
	if netmanager, err = filepath.Abs(netmanager); err == nil {
		_, err = os.Stat(netmanager)
	}
	if err != nil {
		return trial.Options{}, fmt.Errorf("find NetManager: %w: make build, or name it with --netmanager", err)
	}
	return trial.Options{Self: self, NetManager: netmanager, CPU: cpu, Time: slice, Progress: say}, nil
}

func (o *runOptions) parts() ([]plan.Part, error) {
	return plan.Only(plan.All(o.rounds, o.growth), o.only)
}

func (o *runOptions) run(ctx context.Context) error {
	parts, err := o.parts()
	if err != nil {
		return cmdline.Usagef("flag --only: %v", err)
	}
	options, err := stageOptions(o.netmanager, o.cpu, o.slice, o.say)
	if err != nil {
		return err
	}
	options.Attempts = attempts
	key, err := o.key(options.NetManager)
	if err != nil {
		return err
	}
	s, err := session.Open(o.state, key)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if err := o.part(ctx, p, s, options); err != nil {
			return err
		}
	}
	if err := o.report(parts, s); err != nil {
		return err
	}
	if len(o.failed) > 0 {
		return fmt.Errorf("not all could be measured: %s", strings.Join(o.failed, ", "))
	}
	return nil
}

// measurable tries every slice, and keeps those that work.
func (o *runOptions) measurable(ctx context.Context, p plan.Part, stage *trial.Stage, failed map[plan.Setup]error) (kept []plan.Slice, err error) {
	return kept, trial.Untimed(func() error {
		for _, slice := range p.Slices {
			err := failed[slice.Variant.Setup]
			if err == nil {
				if err = stage.Probe(ctx, slice); err != nil {
					o.say("%s: %v", p.Name, err)
				}
			}
			if err != nil {
				o.failed = append(o.failed, slice.Name())
				continue
			}
			kept = append(kept, slice)
		}
		return nil
	})
}

// key names what is measured: builds of one version differ as long as it is being worked on.
func (o *runOptions) key(program string) (string, error) {
	f, err := os.Open(program)
	if err != nil {
		return "", fmt.Errorf("read NetManager's program: %w", err)
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read NetManager's program: %w", err)
	}
	return fmt.Sprintf("%s-%x", o.version, h.Sum(nil)[:4]), nil
}

// part measures the rounds of a part that are missing, and what its setups' programming takes if that is. It names what cannot be
// measured and goes on without.
func (o *runOptions) part(ctx context.Context, p plan.Part, s *session.Session, options trial.Options) (err error) {
	missing := missingRounds(p, s)
	speeds, err := o.missingSpeeds(p, s)
	if err != nil {
		return err
	}
	if len(missing) == 0 && len(speeds) == 0 {
		o.say("%s: all %d rounds are there", p.Name, p.Rounds)
		return nil
	}
	stage, err := trial.Open(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Close()) }()
	o.say("%s: building %d setups", p.Name, len(p.Setups()))
	failed := map[plan.Setup]error{}
	for _, setup := range p.Setups() {
		if failed[setup] = stage.Build(ctx, setup); failed[setup] != nil {
			o.say("%s: %v", p.Name, failed[setup])
		}
	}
	if p.Slices, err = o.measurable(ctx, p, stage, failed); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(p.Slices) == 0 {
		return nil
	}
	machine, err := stage.Machine(o.version)
	if err != nil {
		return err
	}
	if err := report.WriteMachine(s.Dir(), machine); err != nil {
		return err
	}
	for _, n := range missing {
		if err := o.round(ctx, p, n, s, stage); err != nil {
			return err
		}
	}
	for _, setup := range speeds {
		if failed[setup] != nil {
			continue
		}
		speed, err := stage.Speed(ctx, setup, changes)
		if err != nil {
			return err
		}
		if err := s.AddSpeed(speed); err != nil {
			return err
		}
		o.say("%s: a change takes %.2f ms, p99 %.2f ms", setup.Name(), speed.P50, speed.P99)
	}
	return nil
}

func missingRounds(p plan.Part, s *session.Session) (out []int) {
	var names []string
	for _, slice := range p.Slices {
		names = append(names, slice.Name())
	}
	have := s.Has(p.Name, names)
	for n := range p.Rounds {
		if !have[n] {
			out = append(out, n)
		}
	}
	return out
}

// missingSpeeds are the setups of a whole part of growth whose programming was not measured.
func (o *runOptions) missingSpeeds(p plan.Part, s *session.Session) (out []plan.Setup, err error) {
	if p.Name != plan.Many(0).Name {
		return nil, nil
	}
	have, err := s.Speeds()
	if err != nil {
		return nil, err
	}
	for _, setup := range p.Setups() {
		if !slices.ContainsFunc(have, func(h session.Speed) bool {
			return h.Way == string(setup.Way) && h.Services == setup.Services && h.Endpoints == setup.Endpoints
		}) {
			out = append(out, setup)
		}
	}
	return out, nil
}

// round measures one round; what fails is tried once more before the run ends with it.
func (o *runOptions) round(ctx context.Context, p plan.Part, n int, s *session.Session, stage *trial.Stage) error {
	start := time.Now()
	if err := stage.Ensure(ctx); err != nil {
		return err
	}
	r := session.Round{Part: p.Name, Number: n, Results: map[string]load.Result{}}
	err := trial.Untimed(func() error { return o.slices(ctx, p.Name, p.Round(n), stage, r) })
	if err != nil {
		return err
	}
	o.say("%s: round %d of %d took %.0f s", p.Name, n+1, p.Rounds, time.Since(start).Seconds())
	return s.Add(r)
}

func (o *runOptions) slices(ctx context.Context, part string, slices []plan.Slice, stage *trial.Stage, r session.Round) error {
	for _, slice := range slices {
		result, err := stage.Measure(ctx, slice)
		if err != nil && ctx.Err() == nil {
			o.say("%s: %v: trying once more", part, err)
			result, err = stage.Measure(ctx, slice)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		r.Results[slice.Name()] = result
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
	if f.Machine, err = report.ReadMachine(s.Dir()); err != nil {
		return err
	}
	if _, err := io.WriteString(o.out, report.Markdown(f)); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	for _, dir := range []string{s.Dir(), o.publish} {
		if dir == "" {
			continue
		}
		if err := report.Write(dir, f); err != nil {
			return err
		}
	}
	return nil
}
