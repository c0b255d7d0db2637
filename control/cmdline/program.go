// SPDX-License-Identifier: Apache-2.0

package cmdline

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline/manual"
)

// Program is what all commands of one program share.
type Program struct {
	// Prefix begins the names of its environment variables, such as OAK_NET_.
	Prefix string
	// Getenv reads the environment, "" if a variable is not set; nil means [os.Getenv].
	Getenv func(string) string
	// Extra tells for the reference what no flag does; nil means nothing.
	Extra func() (manual.Extra, error)
}

// Adopt makes root the program's root command. Before a command runs, its flags are filled from the environment; what root
// itself wants to run then comes after. It gets the hidden subcommand reference. Errors are left to [Execute] to tell, without the help text.
func (p Program) Adopt(root *cobra.Command) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return Usagef("%w: see `%s --help`", err, cmd.CommandPath())
	})
	root.AddCommand(p.referenceCommand())
	then := root.PersistentPreRunE
	root.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		if err := p.Fill(cmd); err != nil || then == nil {
			return err
		}
		return then(cmd, args)
	}
}

func (p Program) getenv(variable string) string {
	if p.Getenv != nil {
		return p.Getenv(variable)
	}
	return os.Getenv(variable)
}
