// SPDX-License-Identifier: Apache-2.0

package cmdline

import (
	"strings"

	"github.com/spf13/cobra"
)

// Group makes a command that only holds others refuse what is none of them; cobra alone would print help and succeed.
func Group(cmd *cobra.Command) {
	cmd.Args = ofSubcommands
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.SuggestionsMinimumDistance = 2
}

// ofSubcommands refuses an argument: it can only be the name of a subcommand that does not exist.
func ofSubcommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = ": did you mean " + strings.Join(near, " or ") + "?"
	}
	return Usagef("unknown command %q for %q%s: see `%s --help`", args[0], cmd.CommandPath(), hint, cmd.CommandPath())
}

// Args accepts at least low and at most high arguments, any number if high is negative. What is given to a command that has
// subcommands and takes no argument itself is refused as by [Group].
func Args(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if high == 0 && cmd.HasAvailableSubCommands() {
			return ofSubcommands(cmd, args)
		}
		if len(args) < low || high >= 0 && len(args) > high {
			return Usagef("got %d arguments: usage is `%s`", len(args), cmd.UseLine())
		}
		return nil
	}
}
