// SPDX-License-Identifier: Apache-2.0

package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// RaiseCounter adds one to the counter kept at path, from 0 if there is none, and returns the new value once it is durable.
// Callers in several processes get different values.
func RaiseCounter(path string) (uint64, error) {
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return 0, fmt.Errorf("raise counter: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, fileMode)
	if err != nil {
		return 0, fmt.Errorf("raise counter: %w", err)
	}
	defer func() { _ = lock.Close() }() // closing gives the lock back
	if err := flock(int(lock.Fd())); err != nil {
		return 0, fmt.Errorf("raise counter: lock %s: %w", lock.Name(), err)
	}
	var n uint64
	if err := Read(path, &n); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("raise counter: %w", err)
	}
	n++
	if err := Write(path, n); err != nil {
		return 0, fmt.Errorf("raise counter: %w", err)
	}
	return n, nil
}

// flock takes the lock, which others hold for no longer than one write.
func flock(fd int) error {
	for {
		if err := unix.Flock(fd, unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
