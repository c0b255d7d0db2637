// SPDX-License-Identifier: Apache-2.0

// Oak is the command line of Oakestra: it deploys applications through root's REST API and shows what runs.
package main

import (
	"context"
	"os"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/cli"
)

// version is set by the build.
var version string

func main() {
	os.Exit(cmdline.UntilSignal(func(ctx context.Context) int {
		return cli.Main(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Version: version})
	}))
}
