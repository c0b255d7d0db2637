// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/oci"
)

// registryCommand is how the testbed starts its registry; nobody else needs it.
func registryCommand() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:    "registry",
		Short:  "serve an OCI registry over plain HTTP, in memory",
		Hidden: true,
		Args:   cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return oci.Serve(cmd.Context(), listen, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:5000", "HOST:PORT to listen on")
	return cmd
}
