// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

func execCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "exec HOST -- CMD…",
		Short: "run a command in a host's network namespace",
		Args:  atLeast(2, "exec HOST -- CMD…"),
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := testbed.Open()
			if err != nil {
				return err
			}
			return t.Exec(args[0], args[1:])
		},
	}
}

// atLeast accepts n arguments or more.
func atLeast(n int, usage string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < n {
			return fmt.Errorf("want \"oak-testbed %s\": %w", usage, errUsage)
		}
		return nil
	}
}

// between accepts from n to m arguments.
func between(n, m int, usage string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > m {
			return fmt.Errorf("too many arguments: want \"oak-testbed %s\": %w", usage, errUsage)
		}
		return atLeast(n, usage)(cmd, args)
	}
}
