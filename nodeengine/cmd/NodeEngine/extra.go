// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/oakestra/oakestra-ebpf/control/cmdline/manual"
	"github.com/oakestra/oakestra-ebpf/control/netcfg"
)

// extra is what the reference says beside flags. NodeEngine listens on no port.
func extra() (manual.Extra, error) {
	return manual.Extra{Keys: []manual.Keys{netcfg.Reference()}}, nil
}
