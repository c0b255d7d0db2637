// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// envName returns the environment variable of a flag.
func envName(flag string) string {
	return "OAK_NET_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment sets the flags that the command line leaves out from the environment.
func fromEnvironment(cmd *cobra.Command, getenv func(string) string) error {
	var fault error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || fault != nil {
			return
		}
		if value := getenv(envName(f.Name)); value != "" {
			if err := cmd.Flags().Set(f.Name, value); err != nil {
				fault = usagef("environment variable %s: %w", envName(f.Name), err)
			}
		}
	})
	return fault
}
