// SPDX-License-Identifier: Apache-2.0

// NodeEngine runs a worker's instances.
package main

import (
	"os"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

// version is set by the build.
var version string

func main() { os.Exit(cmdline.Main(command())) }
