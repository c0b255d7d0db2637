// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/bpf/probe"
)

// checkLoad has the kernel load NetManager's own programs, and lets go of them: a kernel may have every feature by name and still not take
// them, as where its compiler of BPF programs, such as that of 32-bit ARM before Linux 6.7, lacks some instructions.
func checkLoad(_ context.Context, m *machine, c *collector) {
	if _, runs := m.runs(progNet); runs {
		c.skip("NetManager runs: its programs are loaded")
		return
	}
	kernel, err := probe.Kernel()
	if err != nil {
		c.skip("the kernel's features come first: %v", err)
		return
	}
	programs, maps, err := bpf.Load("", bpf.Kernel{DecapL3: kernel.Uses(probe.DecapL3)})
	switch {
	case errors.Is(err, unix.EPERM):
		c.skip("the kernel does not let this process load them: %v", err)
	case err != nil:
		c.found("programs-refused", nil, "Linux %s on %s does not take NetManager's programs: %s", kernel.Kernel, runtime.GOARCH, lastLine(err.Error()))
	default:
		programs.Close()
		if err := maps.Close(); err != nil {
			c.note("letting go of their maps: %v", err)
		}
		c.note("the kernel takes NetManager's programs on %s", runtime.GOARCH)
	}
}

// lastLine is what a verifier says in the end.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return firstLine(strings.TrimSpace(lines[len(lines)-1]))
}
