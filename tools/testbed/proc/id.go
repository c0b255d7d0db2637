// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ID names one process for ever: numbers are used again, but not with the same start within one boot.
type ID struct {
	PID int `json:"pid"`
	// Start is when the process started, in clock ticks since the machine did.
	Start uint64 `json:"start"`
	// Boot is the machine's boot id.
	Boot string `json:"boot"`
}

// State is what a process is doing.
type State string

// The states that matter to who waits for a process.
const (
	Running State = "running"
	// Stopped is a process held by SIGSTOP.
	Stopped State = "stopped"
	// Dead is a process that is gone, or a zombie that has given back all that it held.
	Dead State = "dead"
)

// Find returns the identity of the process that has the number pid now.
func Find(pid int) (ID, error) {
	s, err := readStat(pid)
	if err != nil {
		return ID{}, err
	}
	boot, err := bootID()
	if err != nil {
		return ID{}, err
	}
	return ID{PID: pid, Start: s.start, Boot: boot}, nil
}

// State returns what the process is doing. A process of an earlier boot, or whose number another one has, is dead.
func (id ID) State() State {
	if id.PID <= 0 {
		return Dead
	}
	s, err := readStat(id.PID)
	if err != nil || s.start != id.Start {
		return Dead
	}
	if boot, err := bootID(); err != nil || boot != id.Boot {
		return Dead
	}
	switch s.state {
	case 'Z':
		// The first thread is gone. What the process holds, locks among them, is given back by the last one.
		if s.threads > 1 {
			return Running
		}
		return Dead
	case 'X':
		return Dead
	case 'T', 't':
		return Stopped
	}
	return Running
}

// stat is what is used of /proc/PID/stat.
type stat struct {
	state   byte
	parent  int
	threads int
	start   uint64
}

func readStat(pid int) (stat, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, fmt.Errorf("read the state of process %d: %w", pid, err)
	}
	return parseStat(string(raw))
}

// parseStat reads a line of proc(5)'s stat. The second field, the program's name, may hold spaces and brackets, so fields
// are counted from its last closing bracket.
func parseStat(line string) (stat, error) {
	_, rest, ok := cutLast(line, ')')
	fields := strings.Fields(rest)
	// num_threads is field 20 of the line and starttime field 22, the state being field 3.
	const threadsField, startField = 17, 19
	if !ok || len(fields) <= startField || len(fields[0]) != 1 {
		return stat{}, fmt.Errorf("parse process state: %d fields after the name", len(fields))
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return stat{}, fmt.Errorf("parse process state: parent: %w", err)
	}
	threads, err := strconv.Atoi(fields[threadsField])
	if err != nil {
		return stat{}, fmt.Errorf("parse process state: threads: %w", err)
	}
	start, err := strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("parse process state: start: %w", err)
	}
	return stat{state: fields[0][0], parent: parent, threads: threads, start: start}, nil
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func bootID() (string, error) {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the boot id: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}
