// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process takes.
type Usage struct {
	// RSS is its resident memory now, Peak the most that it was, in bytes.
	RSS, Peak int64
	// CPU is the processor time that it has taken so far.
	CPU time.Duration
}

// clockTick is the unit of processor times in /proc, the same on all architectures that Go knows.
const clockTick = 10 * time.Millisecond

// UsageOf reads what a process takes.
func UsageOf(pid int) (u Usage, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, fmt.Errorf("read the usage of process %d: %w", pid, err)
	}
	// The second field may hold anything: fields are counted from its last bracket. utime and stime are 14 and 15.
	_, rest, _ := bytes.Cut(raw[bytes.LastIndexByte(raw, ')'):], []byte(" "))
	fields := strings.Fields(string(rest))
	const utime, stime = 11, 12
	if len(fields) <= stime {
		return u, fmt.Errorf("read the usage of process %d: %d fields", pid, len(fields))
	}
	for _, i := range []int{utime, stime} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return u, fmt.Errorf("read the usage of process %d: %w", pid, err)
		}
		u.CPU += time.Duration(n) * clockTick
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, fmt.Errorf("read the usage of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		into := map[string]*int64{"VmRSS": &u.RSS, "VmHWM": &u.Peak}[name]
		if into == nil {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return u, fmt.Errorf("read the usage of process %d: %w", pid, err)
		}
		*into = kib << 10
	}
	return u, nil
}

// Usage reads what the process takes.
func (p *Process) Usage() (Usage, error) { return UsageOf(p.PID()) }

// TreeCPU returns the processor time of the process and of all that it has started and that still runs, such as the servers of Postgres.
func (p *Process) TreeCPU() (total time.Duration, err error) {
	u, err := p.Usage()
	if err != nil {
		return 0, err
	}
	total = u.CPU
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.PID(), p.PID()))
	if err != nil {
		return total, nil //nolint:nilerr // the kernel was built without this list
	}
	for word := range strings.FieldsSeq(string(children)) {
		if pid, err := strconv.Atoi(word); err == nil {
			if u, err := UsageOf(pid); err == nil {
				total += u.CPU
			}
		}
	}
	return total, nil
}
