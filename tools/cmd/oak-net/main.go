// SPDX-License-Identifier: Apache-2.0

// Oak-net shows what a worker's datapath holds, read from its pinned BPF maps; it works with NetManager dead.
package main

import (
	"context"
	"os"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/cli"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

// version is set by the build.
var version string

func main() {
	os.Exit(cmdline.UntilSignal(func(ctx context.Context) int {
		return cli.Main(ctx, os.Args[1:], cli.Environment{
			Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Clock: inspect.Now, Version: version,
		})
	}))
}
