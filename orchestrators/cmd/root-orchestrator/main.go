// SPDX-License-Identifier: Apache-2.0

// Command root-orchestrator runs the root of an Oakestra installation. It reads flags and environment, and wires package
// root to Postgres and a port; it decides nothing by itself.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set at link time with -X main.version.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "root-orchestrator:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}
