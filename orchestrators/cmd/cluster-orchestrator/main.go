// SPDX-License-Identifier: Apache-2.0

// Command cluster-orchestrator runs a cluster: it takes workers in, places what root gives it and tells workers of one another. It
// owns flags and their environment variables; all else is package cluster's.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cluster-orchestrator:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}
