// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

func imageCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "image NAME ROOTFS-DIR [CMD…]",
		Short: "build a one-layer OCI image, push it to the testbed's registry, print its reference",
		Args:  cmdline.Args(2, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := testbed.Open()
			if err != nil {
				return err
			}
			ref, err := t.Image(cmd.Context(), args[0], args[1], args[2:])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), ref)
			return err
		},
	}
}
