// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

func execCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "exec HOST -- CMD…",
		Short: "run a command in a host's network namespace",
		Args:  cmdline.Args(2, -1),
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := testbed.Open()
			if err != nil {
				return err
			}
			return t.Exec(args[0], args[1:])
		},
	}
}
