// SPDX-License-Identifier: Apache-2.0

package cmdline

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Variable returns the environment variable of a flag: the prefix, and the flag's name in capitals, with _ for -.
func (p Program) Variable(flag string) string {
	return p.Prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Fill sets the flags of cmd that its command line leaves out from the environment. A variable that is empty counts as not
// set. Its error is one of usage and names every variable that does not suit its flag.
func (p Program) Fill(cmd *cobra.Command) error {
	var faults []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" {
			return
		}
		value := p.getenv(p.Variable(f.Name))
		if value == "" {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			faults = append(faults, Usagef("environment variable %s: %w", p.Variable(f.Name), err))
		}
	})
	return errors.Join(faults...)
}
