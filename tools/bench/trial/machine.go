// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/bench/report"
)

// Describe says what machine this is. What cannot be found out is left empty.
func Describe(version string) report.Machine {
	m := report.Machine{Version: version, At: time.Now().UTC(), CPUs: runtime.NumCPU(), Programs: map[string]string{}}
	m.Kernel = firstLine("/proc/sys/kernel/osrelease")
	m.Clock = firstLine("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	for _, p := range []string{"nft", iptablesRestore} {
		if out, err := exec.Command(p, "--version").Output(); err == nil {
			m.Programs[p] = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(string(out)), p))
		}
	}
	return m
}

func firstLine(path string) string {
	data, _ := os.ReadFile(path)
	return strings.TrimSpace(string(data))
}
