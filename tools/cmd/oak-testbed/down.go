// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

func downCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "end the testbed and remove whatever it, or one that broke off, has left; logs stay",
		Args:  cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			start := time.Now()
			if err := testbed.Down(cmd.Context(), dir); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "The testbed is down after %.1f s. Logs are in %s/logs.\n", time.Since(start).Seconds(), dir)
			return err
		},
	}
	dirFlag(cmd, &dir)
	return cmd
}
