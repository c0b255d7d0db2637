// SPDX-License-Identifier: Apache-2.0

// Oak-kernels runs this repository's tests on other kernels and architectures, under emulation.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/oakestra/oakestra-ebpf/tools/kernels/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := cli.Command(os.Stdout, os.Stderr).ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "oak-kernels:", err)
		os.Exit(1)
	}
}
