// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// processClock is the clock of the processor time of all of a process's threads. The kernel encodes it as clock_getcpuclockid(3)
// does: the complement of the process id, and 2 for the scheduler's exact figure.
func processClock(pid int) int32 { return int32(^pid<<3 | 2) }

func readClock(id int32) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0, fmt.Errorf("read clock %d: %w", id, err)
	}
	return time.Duration(ts.Nano()), nil
}

// clocks are all that a measurement reads.
type clocks struct {
	ids     []int32 // of the client, the server and the spinner
	softirq *os.File
}

// moment is what they showed.
type moment struct {
	wall, ours, left time.Duration
}

func openClocks(c Client) (*clocks, error) {
	// Kernel threads have no clock that others may read, but this file says the same.
	f, err := os.Open(fmt.Sprintf("/proc/%d/schedstat", c.Softirq))
	if err != nil {
		return nil, fmt.Errorf("open the times of the kernel's packet thread: %w", err)
	}
	k := &clocks{softirq: f, ids: []int32{unix.CLOCK_PROCESS_CPUTIME_ID, processClock(c.Server), processClock(c.Spinner)}}
	if _, err := k.read(); err != nil {
		_ = f.Close()
		return nil, err
	}
	return k, nil
}

func (k *clocks) close() { _ = k.softirq.Close() }

func (k *clocks) read() (m moment, err error) {
	if m.wall, err = readClock(unix.CLOCK_MONOTONIC); err != nil {
		return m, err
	}
	for _, id := range k.ids[:2] {
		d, err := readClock(id)
		if err != nil {
			return m, err
		}
		m.ours += d
	}
	if m.left, err = readClock(k.ids[2]); err != nil {
		return m, err
	}
	var buffer [128]byte
	n, err := k.softirq.ReadAt(buffer[:], 0)
	if n == 0 {
		return m, fmt.Errorf("read the times of the kernel's packet thread: %w", err)
	}
	d, err := parseSchedstat(buffer[:n])
	m.ours += d
	return m, err
}

// parseSchedstat returns the first of the file's three numbers: the nanoseconds that the thread has run.
func parseSchedstat(line []byte) (time.Duration, error) {
	field, _, _ := bytes.Cut(line, []byte(" "))
	ns, err := strconv.ParseInt(string(field), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("parse schedstat %q: %w", line, err)
	}
	return time.Duration(ns), nil
}

// between makes the times of a result of two moments.
func between(a, b moment) Result {
	r := Result{Wall: b.wall - a.wall, CPU: b.ours - a.ours, Left: b.left - a.left}
	r.Strangers = max(r.Wall-r.CPU-r.Left, 0)
	return r
}
