// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/e2e/demo"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
)

func demoCommand() *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "start a testbed, deploy an application, show it at work, take all down",
		Args:  cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := locate(&o.Testbed); err != nil {
				return err
			}
			self, err := proc.Find(os.Getpid())
			if err != nil {
				return err
			}
			o.Testbed.Owner, o.Testbed.Clusters, o.Testbed.Workers = &self, 1, 2
			o.Out = cmd.OutOrStdout()
			ctx, cancel := context.WithCancelCause(cmd.Context())
			defer cancel(nil)
			go endWithMake(ctx, cancel)
			signal.Ignore(syscall.SIGPIPE) // a reader that has gone does not keep the testbed from being taken down
			return demo.Run(ctx, o)
		},
	}
	dirFlag(cmd, &o.Testbed.Dir)
	cmd.Flags().StringVar(&o.Testbed.Bin, "bin", "", "folder of the programs (default: where oak-testbed is)")
	cmd.Flags().StringVar(&o.Descriptor, "descriptor", "tools/e2e/testdata/hello.json", "descriptor of the application")
	return cmd
}

// endWithMake cancels the demo when the make that runs it is killed: nobody looks at it any more, and the next one should
// not meet it. Without make it does nothing.
func endWithMake(ctx context.Context, cancel context.CancelCauseFunc) {
	if os.Getenv("MAKELEVEL") == "" {
		return
	}
	above := proc.Ancestors(2) // make, or the shell that make runs commands with, and make
	for ctx.Err() == nil {
		for _, a := range above {
			if a.State() == proc.Dead {
				cancel(fmt.Errorf("process %d, for which the demo was run, has ended", a.PID))
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}
