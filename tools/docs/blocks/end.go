// SPDX-License-Identifier: Apache-2.0

package blocks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How long the processes of a terminal have to end by themselves, and then to be gone.
const (
	politely = 20 * time.Second
	killed   = 5 * time.Second
)

// endSession asks all processes of a session to end, and kills those that do not.
func endSession(sid int) error {
	signal := syscall.SIGTERM
	asked := map[int]bool{}
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		left, err := members(sid)
		if err != nil || len(left) == 0 {
			return err
		}
		switch since := time.Since(start); {
		case since > politely+killed:
			return fmt.Errorf("close the shell: processes %v would not end", left)
		case since > politely:
			signal = syscall.SIGKILL
			clear(asked)
		}
		for _, pid := range left {
			if asked[pid] {
				continue
			}
			asked[pid] = true
			if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("close the shell: end process %d: %w", pid, err)
			}
		}
	}
}

// members returns the processes of a session that still run; not those that only wait to be read.
func members(sid int) ([]int, error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("close the shell: %w", err)
	}
	var found []int
	for _, dir := range folders {
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // ended meanwhile
		}
		// pid (name) state ppid pgrp session …; the name may hold anything.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) < 4 || fields[0] == "Z" || fields[3] != strconv.Itoa(sid) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			found = append(found, pid)
		}
	}
	return found, nil
}
