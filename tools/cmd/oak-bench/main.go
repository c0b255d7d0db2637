// SPDX-License-Identifier: Apache-2.0

// Oak-bench measures the dataplane side by side with what others build from the kernel's own parts.
package main

import (
	"os"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/bench/cli"
)

// version is set by the build.
var version string

func main() { os.Exit(cmdline.Main(cli.Command(version, os.Stdout, os.Stderr))) }
