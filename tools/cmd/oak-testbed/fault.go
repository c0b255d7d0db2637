// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strconv"

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
	cmd.AddCommand(&cobra.Command{
		Use:   "reboot HOST",
		Short: "kill all in a host, drop its links, pins and /run, keep its disk, start it again",
		Args:  cmdline.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := testbed.Open()
			if err != nil {
				return err
			}
			return t.Reboot(cmd.Context(), args[0])
		},
	})
	link("heal", "undo all faults between two hosts, or all of a host", (*testbed.Testbed).Heal)
	cmd.AddCommand(oneWayCommand(), delayCommand())
	cmdline.Group(cmd)
	return cmd
}

func oneWayCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "oneway A B",
		Short: "lose all packets that host A sends to host B, and none that B sends to A",
		Args:  cmdline.Args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := testbed.Open()
			if err != nil {
				return err
			}
			return t.AddOneWay(cmd.Context(), args[0], args[1])
		},
	}
}

func delayCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "delay A B MS",
		Short: "have packets between two hosts take so many milliseconds longer, each way",
		Args:  cmdline.Args(3, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			ms, err := strconv.Atoi(args[2])
			if err != nil {
				return cmdline.Usagef("delay %q: give whole milliseconds", args[2])
			}
			t, err := testbed.Open()
			if err != nil {
				return err
			}
			return t.AddDelay(cmd.Context(), args[0], args[1], ms)
		},
	}
}
