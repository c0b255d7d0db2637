// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

func faultCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fault",
		Short: "break something, or mend it",
	}
	process := func(name, short string, do func(context.Context, string) error) {
		cmd.AddCommand(&cobra.Command{
			Use:   name + " COMPONENT@HOST",
			Short: short,
			Args:  cmdline.Args(1, 1),
			RunE: func(cmd *cobra.Command, args []string) error {
				if _, err := testbed.Open(); err != nil {
					return err
				}
				return do(cmd.Context(), args[0])
			},
		})
	}
	process("kill", "end a process with SIGKILL", testbed.Kill)
	process("stop", "hold a process with SIGSTOP", testbed.Stop)
	process("cont", "let a stopped process go on", testbed.Cont)
	process("restart", "kill a process if it runs, start it with the same arguments, wait until it answers", testbed.Restart)

	link := func(name, short string, do func(*testbed.Testbed, context.Context, string, string) error) {
		cmd.AddCommand(&cobra.Command{
			Use:   name + " HOST [HOST]",
			Short: short,
			Args:  cmdline.Args(1, 2),
			RunE: func(cmd *cobra.Command, args []string) error {
				t, err := testbed.Open()
				if err != nil {
					return err
				}
				return do(t, cmd.Context(), args[0], append(args, "")[1])
			},
		})
	}
	link("cut", "lose all packets between two hosts, or between one and everything", (*testbed.Testbed).AddCut)
	link("heal", "undo a cut, or all cuts of a host", (*testbed.Testbed).Heal)
	cmdline.Group(cmd)
	return cmd
}
