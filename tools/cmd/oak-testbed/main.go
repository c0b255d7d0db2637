// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "oak-testbed:", err)
		os.Exit(exitCode(err)) //nolint:gocritic // the deferred call only restores signals
	}
}

// exitUsage is the exit status of a command line that makes no sense.
const exitUsage = 2

// errUsage marks such errors.
var errUsage = errors.New("see \"oak-testbed help\"")

func exitCode(err error) int {
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return 1
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "oak-testbed",
		Short: "A whole Oakestra on one machine",
		Long: "oak-testbed runs a whole Oakestra on one machine: each host is a network namespace, everything in it is real.\n" +
			"It needs root. Every flag can be set by an environment variable too: --name of COMMAND is OAK_TESTBED_NAME.",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd); err != nil {
				return err
			}
			if needsRoot(cmd) && os.Geteuid() != 0 {
				return errors.New("the testbed makes network namespaces and loads BPF programs: run it as root")
			}
			return nil
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", err, errUsage) })
	root.AddCommand(upCommand(), downCommand(), demoCommand(), statusCommand(), execCommand(), imageCommand(), faultCommand(), logsCommand(),
		registryCommand(), versionCommand())
	return root
}

// needsRoot reports whether a command touches what only root may.
func needsRoot(cmd *cobra.Command) bool {
	switch cmd.Name() {
	case "version", "help", "completion", "registry":
		return false
	}
	return true
}

// dirFlag adds --dir, the testbed's folder.
func dirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", testbed.DefaultDir, "folder of the hosts' disks and of the logs; user postgres has to be able to pass it")
}
