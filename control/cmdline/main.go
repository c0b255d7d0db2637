// SPDX-License-Identifier: Apache-2.0

package cmdline

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Main runs a program whose errors need no more explanation than they bring along, and returns its exit code. SIGINT, SIGTERM
// and the given signals end its context.
func Main(root *cobra.Command, signals ...os.Signal) int {
	return UntilSignal(func(ctx context.Context) int { return Execute(ctx, root) }, signals...)
}

// UntilSignal runs a program under a context that SIGINT, SIGTERM and the given signals end, and returns its exit code.
func UntilSignal(run func(context.Context) int, signals ...os.Signal) int {
	ctx, stop := signal.NotifyContext(context.Background(), append(signals, os.Interrupt, syscall.SIGTERM)...)
	defer stop()
	return run(ctx)
}

// Execute runs root, tells its error on root's error output after the program's name, and returns the exit code.
func Execute(ctx context.Context, root *cobra.Command) int {
	err := root.ExecuteContext(ctx)
	if err != nil {
		_, _ = fmt.Fprintf(root.ErrOrStderr(), "%s: %v\n", root.Name(), err)
	}
	return Code(err)
}
