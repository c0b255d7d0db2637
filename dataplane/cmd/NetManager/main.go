// SPDX-License-Identifier: Apache-2.0

// NetManager attaches a worker's containers to the overlay network.
package main

import (
	"os"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

// version is set by the build.
var version string

func main() { os.Exit(cmdline.Main(command())) }
