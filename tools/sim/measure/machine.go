// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clockTick is the unit of times in /proc, in all architectures that Go knows.
const clockTick = 10 * time.Millisecond

// processors is what the machine's processors have done: in all, and for this process and its children.
type processors struct {
	wall, busy, own time.Duration
}

func processorTimes() (p processors) {
	p.wall = time.Duration(nanotime())
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return p
	}
	line, _, _ := strings.Cut(string(data), "\n")
	for i, word := range strings.Fields(line) {
		// cpu user nice system idle iowait irq softirq steal …: all but idle and iowait is work.
		if n, err := strconv.ParseInt(word, 10, 64); err == nil && i != 4 && i != 5 && i < 9 {
			p.busy += time.Duration(n) * clockTick
		}
	}
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			p.own += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return p
}

func nanotime() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// strangers is the part of all processors that others took between two moments. Children count once they have ended, which all of a part's
// have by its end, but for those of the testbed, which are their own.
func strangers(before, after processors) float64 {
	wall := (after.wall - before.wall) * time.Duration(runtime.NumCPU())
	if wall <= 0 {
		return 0
	}
	return min(max(float64((after.busy-before.busy)-(after.own-before.own))/float64(wall), 0), 1)
}

// machine says in a line what is measured on.
func machine() string {
	model := ""
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d × %s, Linux %s", runtime.NumCPU(), model, strings.TrimSpace(string(kernel)))
}
