// SPDX-License-Identifier: Apache-2.0

package cmdline

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/oakestra/oakestra-ebpf/control/cmdline/manual"
)

// referenceCommand returns the hidden subcommand that prints the program's reference. It touches nothing and needs no rights.
func (p Program) referenceCommand() *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use:    "reference",
		Short:  "Print every command, flag, environment variable, port and metric",
		Hidden: true,
		Args:   Args(0, 0),
		// Instead of the root command's: neither the environment nor the user's rights matter.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := p.Manual(cmd.Root())
			if err != nil {
				return err
			}
			switch form {
			case "md":
				_, err = fmt.Fprint(cmd.OutOrStdout(), m.Markdown())
			case "json":
				to := json.NewEncoder(cmd.OutOrStdout())
				to.SetIndent("", "  ")
				to.SetEscapeHTML(false)
				err = to.Encode(m)
			default:
				return Usagef("flag --output: %q is none of md, json", form)
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&form, "output", "o", "md", "form: md or json")
	return cmd
}

// Manual collects the program's reference from its command line and from what it says itself.
func (p Program) Manual(root *cobra.Command) (manual.Manual, error) {
	m := manual.Manual{Program: root.Name(), About: root.Long}
	if m.About == "" {
		m.About = root.Short
	}
	if p.Extra != nil {
		var err error
		if m.Extra, err = p.Extra(); err != nil {
			return m, fmt.Errorf("collect the reference: %w", err)
		}
	}
	p.collect(root, &m)
	return m, nil
}

func (p Program) collect(cmd *cobra.Command, m *manual.Manual) {
	c := manual.Command{Command: cmd.CommandPath(), Use: cmd.UseLine(), Summary: cmd.Short}
	if !cmd.HasParent() || !cmd.HasAvailableSubCommands() || cmd.HasLocalFlags() {
		c.Flags = p.flags(cmd.LocalNonPersistentFlags())
		c.Shared = p.flags(cmd.PersistentFlags())
		if !cmd.HasAvailableSubCommands() { // nobody shares them
			c.Flags, c.Shared = append(c.Flags, c.Shared...), nil
		}
		m.Commands = append(m.Commands, c)
	}
	for _, sub := range cmd.Commands() {
		if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
			continue
		}
		p.collect(sub, m)
	}
}

func (p Program) flags(set *pflag.FlagSet) []manual.Flag {
	var all []manual.Flag
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		kind, meaning := pflag.UnquoteUsage(f)
		one := manual.Flag{Name: f.Name, Shorthand: f.Shorthand, Type: kind, Default: f.DefValue, Variable: p.Variable(f.Name), Meaning: meaning}
		switch {
		case f.DefValue == "[]" || f.Value.Type() == "bool" && f.DefValue == "false" || strings.HasPrefix(f.Value.Type(), "stringTo"):
			one.Default = ""
		case f.DefValue != "" && f.DefValue == Hostname():
			one.Default = "this machine's host name"
		}
		all = append(all, one)
	})
	return all
}
