// SPDX-License-Identifier: Apache-2.0

//go:build linux

package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/doctor"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

// examination are the flags of doctor and its subcommands.
type examination struct {
	verbose bool
	timeout time.Duration
}

func (p *program) doctorCommand() *cobra.Command {
	var e examination
	cmd := &cobra.Command{
		Use:   "doctor [root|cluster|worker]",
		Short: "Look for what is wrong with this machine, and say what cures it",
		Long: `Looks at the machine that it runs on: kernel, containerd, ports, clock, disk, network, the tier above, other workers. It needs no
login, changes nothing and spends no token. Without a role it looks at what runs or is installed here; with one, also before anything is.

A healthy machine gets no output and exit code 0. Each finding says what it is, why it matters, and which commands cure it; with any, the
exit code is 1. Where programs run, doctor asks with their settings; flags say others. Run it as root on a worker.`,
		Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.examine(cmd, e) },
	}
	flags := cmd.PersistentFlags()
	flags.BoolVarP(&e.verbose, "verbose", "v", false, "list every check and what it saw")
	flags.DurationVar(&e.timeout, "timeout", 10*time.Second, "how long one check may take")
	for _, role := range doctor.Roles() {
		sub := &cobra.Command{
			Use: string(role), Short: fmt.Sprintf("Look at this machine as a %s's", role), Args: cmdline.Args(0, 0),
			RunE: func(cmd *cobra.Command, _ []string) error { return p.examine(cmd, e, role) },
		}
		for _, f := range doctor.Flags(role) {
			sub.Flags().String(f.Name, "", f.Usage+" (default: as the running program has it, or its default)")
		}
		cmd.AddCommand(sub)
	}
	return cmd
}

// examine runs the checks, and ends in exit code 1 where they find something.
func (p *program) examine(cmd *cobra.Command, e examination, roles ...doctor.Role) error {
	if e.timeout <= 0 || e.timeout > time.Minute {
		return cmdline.Usagef("flag --timeout: %s is not more than 0 and at most 1m", e.timeout)
	}
	o := doctor.Options{Roles: roles, Timeout: e.timeout, Settings: map[string]string{}}
	if len(roles) == 1 {
		own := doctor.Flags(roles[0])
		cmd.Flags().Visit(func(f *pflag.Flag) {
			if slices.ContainsFunc(own, func(x doctor.Flag) bool { return x.Name == f.Name }) {
				o.Settings[f.Name] = f.Value.String()
			}
		})
	}
	r, err := doctor.Examine(cmd.Context(), o)
	if errors.Is(err, doctor.ErrNothing) {
		return cmdline.WithCode(cmdline.NotFound, err)
	}
	if err != nil {
		return fmt.Errorf("examine this machine: %w", err)
	}
	if err := p.report(r, e.verbose); err != nil {
		return err
	}
	if len(r.Findings) > 0 {
		return &exitError{code: cmdline.Failed}
	}
	return nil
}

// report shows what was found and, if asked to, what was looked at.
func (p *program) report(r doctor.Report, verbose bool) error {
	if p.format.Data() {
		if !verbose {
			return output.Value(p.Out, p.format, struct {
				Findings []doctor.Finding `json:"findings"`
			}{r.Findings})
		}
		return output.Value(p.Out, p.format, r)
	}
	if verbose {
		if err := output.List(p.Out, p.Err, p.format, r.Checks, checkColumns()); err != nil {
			return err
		}
		if len(r.Findings) > 0 {
			_, _ = fmt.Fprintln(p.Out)
		}
	}
	for i, f := range r.Findings {
		if i > 0 {
			_, _ = fmt.Fprintln(p.Out)
		}
		if err := printFinding(p.Out, f); err != nil {
			return err
		}
	}
	return nil
}

func checkColumns() []output.Column[doctor.Outcome] {
	type row = doctor.Outcome
	return []output.Column[row]{
		{Name: "ROLE", Value: func(o row) string { return string(o.Role) }},
		{Name: "CHECK", Value: func(o row) string { return o.Check }},
		{Name: "STATE", Value: func(o row) string { return o.State }},
		{Name: "MS", Wide: true, Value: func(o row) string { return fmt.Sprint(o.Took) }},
		{Name: "DETAIL", Value: func(o row) string { return o.Detail }},
	}
}

func printFinding(w io.Writer, f doctor.Finding) error {
	lines := []string{fmt.Sprintf("%s %s (%s): %s", f.Severity, f.ID, f.Role, f.What), "  why:  " + f.Why}
	for i, c := range f.Cure {
		lines = append(lines, map[bool]string{true: "  cure: ", false: "        "}[i == 0]+c)
	}
	for _, l := range lines {
		if _, err := fmt.Fprintln(w, visible(l)); err != nil {
			return err
		}
	}
	return nil
}

// visible keeps what a neighbour has sent from moving the cursor of a terminal.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}
