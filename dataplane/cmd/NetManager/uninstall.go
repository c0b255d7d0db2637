// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/dataplane/agent"
)

func uninstallCommand(o *options) *cobra.Command {
	var purge bool
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "take all that NetManager has put into the kernel out of it again",
		Long: "Removes programs and maps, devices, firewall rules (in other people's tables too) and reserved ports of a worker whose\n" +
			"NetManager does not run any more, and has the uplink route as it did before. Refuses while a container is attached. The state folder stays,\n" +
			"unless --purge is given.",
		Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := o.log.Logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			o.agent.Log = log
			if err := agent.Uninstall(cmd.Context(), o.agent); err != nil || !purge {
				return err
			}
			if err := os.RemoveAll(o.agent.StateDir); err != nil {
				return fmt.Errorf("remove state folder: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "remove the state folder too: this worker is a new one when it comes back")
	o.addPlaces(cmd.Flags())
	return cmd
}
