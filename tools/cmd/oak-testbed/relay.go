// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// relayCommand is how the testbed delays packets; nobody else needs it.
func relayCommand() *cobra.Command {
	var paths []string
	var socket string
	cmd := &cobra.Command{
		Use:    "relay",
		Short:  "carry packets between hosts late",
		Hidden: true,
		Args:   cmdline.Args(0, 0),
		RunE:   func(cmd *cobra.Command, _ []string) error { return testbed.Relay(cmd.Context(), paths, socket) },
	}
	cmd.Flags().StringArrayVar(&paths, "path", nil, "what to carry, as JSON")
	cmd.Flags().StringVar(&socket, "ready-socket", "", "Unix socket that answers while packets are carried")
	return cmd
}
