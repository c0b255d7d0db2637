// SPDX-License-Identifier: Apache-2.0

// Command cluster-orchestrator runs a cluster: it takes workers in, places what root gives it and tells workers of one another. It
// owns flags and their environment variables; all else is package cluster's.
package main

import (
	"os"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

// version is set by the build.
var version string

func main() { os.Exit(cmdline.Main(newCommand())) }
