// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/check"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func (p *program) checkCommand() *cobra.Command {
	var passive, quiet bool
	var during time.Duration
	cmd := &cobra.Command{
		Use: "check", Short: "Say what is wrong with the datapath, and what to do",
		Long: `Looks at NetManager's life, programs, kernel, maps, other workers, the way to each, drops that go on, and the clock, and says
what is wrong and what to do about it, the worst first. The way is tried with ICMP echoes of the largest size that is not to be
fragmented; --passive sends nothing. The exit code is 5 if something fails.`,
		Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if during < 0 || during > time.Minute {
				return cmdline.Usagef("--during %s: use at most 1m", during)
			}
			findings, err := p.check(cmd.Context(), passive, during)
			if err != nil {
				return err
			}
			shown := slices.Clone(findings)
			if quiet {
				shown = slices.DeleteFunc(shown, func(f check.Finding) bool { return f.Level == check.OK || f.Level == check.Note })
			}
			if err := write(p, p.Out, shown, findingColumns()); err != nil {
				return err
			}
			if n := findings.Failed(); n > 0 {
				return cmdline.WithCode(ExitUnhealthy, fmt.Errorf("%d of %d findings are failures", n, len(findings)))
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&passive, "passive", false, "send no echoes to other workers")
	flags.BoolVarP(&quiet, "quiet", "q", false, "show only warnings and failures")
	flags.DurationVar(&during, "during", time.Second, "how long to look for drops, at most 1m")
	return cmd
}

// view reads everything that is judged.
func (p *program) view() (v check.View, clock inspect.Clock, err error) {
	r, err := p.open()
	if err != nil {
		return v, clock, err
	}
	defer func() { _ = r.Close() }()
	read := func(what string, f func() error) {
		if err == nil {
			if err = f(); err != nil {
				err = fmt.Errorf("read %s: %w", what, err)
			}
		}
	}
	read("status", func() (err error) { v.Status, err = r.Status(); return err })
	read("nodes", func() (err error) { v.Nodes, err = r.Nodes(); return err })
	read("endpoints", func() (err error) { v.Endpoints, err = r.Endpoints(); return err })
	read("routes", func() (err error) { v.Routes, err = r.Routes(); return err })
	read("drops", func() (err error) { v.Drops, err = r.Drops(true); return err })
	return v, r.Clock(), err
}

func (p *program) check(ctx context.Context, passive bool, during time.Duration) (check.Findings, error) {
	before, clock, err := p.view()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	var tried map[uint32]check.Way
	if !passive {
		tried = check.Try(ctx, before.Nodes)
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Until(begin.Add(during))):
	}
	after, _, err := p.view()
	if err != nil {
		return nil, err
	}
	findings := slices.Concat(check.Datapath(after), check.Peers(after, tried),
		check.Drops(before.Drops, after.Drops, time.Since(begin)), check.Clock(clock.Wall))
	findings.Sort()
	return findings, nil
}

func findingColumns() []output.Column[check.Finding] {
	type row = check.Finding
	return []output.Column[row]{
		{Name: "LEVEL", Value: func(f row) string { return f.Level }},
		{Name: "SUBJECT", Value: func(f row) string { return f.Subject }},
		{Name: "FINDING", Value: func(f row) string { return f.Text }},
		{Name: "WHAT-TO-DO", Value: func(f row) string { return f.Advice }},
	}
}
