// SPDX-License-Identifier: Apache-2.0

// Oak-sim holds an orchestrator against thousands of hollow workers, and measures it.
package main

import (
	"os"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/sim/cli"
)

// version is set by the build.
var version string

func main() { os.Exit(cmdline.Main(cli.Command(version, os.Stdout, os.Stderr))) }
