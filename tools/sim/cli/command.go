// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

// Command returns the command; out gets its results, progress what it is doing.
func Command(version string, out, progress io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "oak-sim",
		Short: "Hold an orchestrator against thousands of hollow workers",
		Long: `Runs hollow workers: real MQTT sessions for the NodeEngine and the NetManager of each, and what those two say, but no
containers and no network. They join a cluster that runs, or one that oak-sim starts beside a root and a Postgres of its own.`,
	}
	root.AddCommand(workersCommand(progress), benchCommand(version, out, progress), cmdline.VersionCommand(version))
	cmdline.Group(root)
	cmdline.Program{Prefix: "OAK_SIM_"}.Adopt(root)
	return root
}

// sayTo returns what tells progress.
func sayTo(w io.Writer) func(format string, args ...any) {
	return func(format string, args ...any) { _, _ = fmt.Fprintf(w, "sim: "+format+"\n", args...) }
}
