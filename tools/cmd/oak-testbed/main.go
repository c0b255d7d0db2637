// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// version is set by the build.
var version string

func main() { os.Exit(cmdline.Main(command(), syscall.SIGHUP)) }

// environment is where flags come from that the command line lacks.
func environment() cmdline.Program { return cmdline.Program{Prefix: "OAK_TESTBED_"} }

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "oak-testbed",
		Short: "A whole Oakestra on one machine",
		Long: "oak-testbed runs a whole Oakestra on one machine: each host is a network namespace, everything in it is real.\n" +
			"It needs root. Every flag can be set by an environment variable too: --name of COMMAND is " + environment().Variable("name") + ".",
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if needsRoot(cmd) && os.Geteuid() != 0 {
				return errors.New("the testbed makes network namespaces and loads BPF programs: run it as root")
			}
			return nil
		},
	}
	environment().Adopt(root)
	root.AddCommand(upCommand(), downCommand(), demoCommand(), statusCommand(), execCommand(), imageCommand(), faultCommand(), logsCommand(),
		registryCommand(), relayCommand(), cmdline.VersionCommand(version))
	cmdline.Group(root)
	return root
}

// needsRoot reports whether a command touches what only root may.
func needsRoot(cmd *cobra.Command) bool {
	switch cmd.Name() {
	case "version", "help", "completion", "registry":
		return false
	}
	return cmd.HasParent() // by itself, it only helps
}

// dirFlag adds --dir, the testbed's folder.
func dirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", testbed.DefaultDir, "folder of the hosts' disks and of the logs; user postgres has to be able to pass it")
}
