// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How long a program has to end once it is asked to, and the time between two looks.
const (
	endWithin = 15 * time.Second
	endPause  = 50 * time.Millisecond
)

// running lists the processes of a program, by the path of its file; also of one that was replaced or removed since. Those of other mount
// namespaces, such as containers', have paths of their own and may be anything: only processes that see this file system count.
func running(program string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	here, err := os.Stat("/")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err != nil || strings.TrimSuffix(exe, " (deleted)") != program {
			continue
		}
		if theirs, err := os.Stat(filepath.Join("/proc", e.Name(), "root")); err == nil && os.SameFile(here, theirs) {
			out = append(out, pid)
		}
	}
	return out, nil
}

// end ends the processes of a program, kindly at first. It reports whether there were any.
func end(ctx context.Context, program string) (bool, error) {
	pids, err := running(program)
	if err != nil || len(pids) == 0 {
		return false, err
	}
	signal := func(s syscall.Signal) error {
		for _, pid := range pids {
			if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("end process %d: %w", pid, err)
			}
		}
		return nil
	}
	if err := signal(syscall.SIGTERM); err != nil {
		return false, err
	}
	for deadline, killed := time.Now().Add(endWithin), false; ; {
		if pids, err = running(program); err != nil || len(pids) == 0 {
			return true, err
		}
		if time.Now().After(deadline) {
			if killed {
				return true, fmt.Errorf("processes %v of %s do not end", pids, program)
			}
			if err := signal(syscall.SIGKILL); err != nil {
				return true, err
			}
			killed, deadline = true, time.Now().Add(endWithin)
		}
		select {
		case <-ctx.Done():
			return true, ctx.Err()
		case <-time.After(endPause):
		}
	}
}

// callWith runs a command with variables besides this program's own.
func callWith(ctx context.Context, set map[string]string, args ...string) error {
	const within = 12 * time.Minute // each container may take its time to end
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // made here
	cmd.Env = os.Environ()
	for name, value := range set {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
