// SPDX-License-Identifier: Apache-2.0

// Oak-kernels runs this repository's tests on other kernels and architectures, under emulation.
package main

import (
	"os"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/kernels/cli"
)

func main() { os.Exit(cmdline.Main(cli.Command(os.Stdout, os.Stderr))) }
