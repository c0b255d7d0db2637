// SPDX-License-Identifier: Apache-2.0

// Command root-orchestrator runs the root of an Oakestra installation. It reads flags and environment, and wires package
// root to Postgres and a port; it decides nothing by itself.
package main

import (
	"os"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

// version is set by the build.
var version string

func main() { os.Exit(cmdline.Main(newCommand())) }
