// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package cli

import (
	"errors"

	"github.com/spf13/cobra"
)

// doctorCommand is there so that who looks for it learns where to run it: orchestrators and workers are Linux machines.
func (p *program) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong with this machine, and say what cures it",
		RunE: func(*cobra.Command, []string) error {
			return errors.New("doctor looks at the machine that it runs on, and roots, clusters and workers are Linux machines: run it there")
		},
	}
}
