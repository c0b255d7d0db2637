// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/dataplane/agent"
)

func uninstallCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "take all that NetManager has put into the kernel out of it again",
		Long: "Removes programs and maps, devices, firewall rules (in other people's tables too) and reserved ports of a worker whose\n" +
			"NetManager does not run any more. Refuses while a container is attached. The state folder stays.",
		Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := o.log.Logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			o.agent.Log = log
			return agent.Uninstall(cmd.Context(), o.agent)
		},
	}
	o.addPlaces(cmd.Flags())
	return cmd
}
