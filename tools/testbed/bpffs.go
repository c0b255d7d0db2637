// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"golang.org/x/sys/unix"
)

// pinDir is where NetManagers pin what they load, one folder a worker.
var pinDir = filepath.Join(bpffs, "oakestra")

// workerName matches the names that [plan] gives to workers.
var workerName = regexp.MustCompile(`^c[0-9]+-w[0-9]+$`)

// mountBpffs mounts the BPF file system where nobody has, and leaves a note of it for the clean-up.
func mountBpffs() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(bpffs, &fs); err != nil {
		return fmt.Errorf("look at %s: %w: the kernel needs CONFIG_BPF_SYSCALL", bpffs, err)
	}
	if fs.Type == unix.BPF_FS_MAGIC {
		return nil
	}
	if err := os.WriteFile(ownBpffsFile, nil, 0o600); err != nil {
		return fmt.Errorf("note that %s is mounted: %w", bpffs, err)
	}
	if err := unix.Mount("bpf", bpffs, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount the BPF file system at %s: %w", bpffs, err)
	}
	return nil
}

// removePins removes what workers have pinned, and the mount if the testbed made it and nothing else is pinned there.
func removePins() error {
	entries, err := os.ReadDir(pinDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("list what workers have pinned: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !workerName.MatchString(e.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(pinDir, e.Name())); err != nil {
			errs = append(errs, fmt.Errorf("remove what worker %s has pinned: %w", e.Name(), err))
		}
	}
	_ = os.Remove(pinDir) // stays if somebody else's pins are in it
	if _, err := os.Stat(ownBpffsFile); err != nil {
		return errors.Join(errs...)
	}
	// The kernel puts two iterators of its own into every BPF file system.
	own := func(e os.DirEntry) bool { return e.Name() == "maps.debug" || e.Name() == "progs.debug" }
	if left, err := os.ReadDir(bpffs); err == nil && len(slices.DeleteFunc(left, own)) == 0 {
		_ = unix.Unmount(bpffs, 0) // stays if somebody else uses it by now
	}
	return errors.Join(errs...)
}
