// SPDX-License-Identifier: Apache-2.0

package statefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned by [Lock] when somebody else holds the lock.
var ErrLocked = errors.New("held by another process")

// lockPause is the time between two tries at a lock that is held. It is asked for at start only.
const lockPause = 20 * time.Millisecond

// Lock takes the file at path, which is made if need be, as a lock, trying for up to wait. Closing the file gives the lock back, and so
// does the kernel when the process ends; but a process that was killed is still ending for a moment, so that who starts in its place
// does well to wait. It returns [ErrLocked] if the lock is still held after that time.
func Lock(path string, wait time.Duration) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, fileMode)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(lockPause) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil && gone(f):
			// Who held it has removed it: the file is nobody's any more.
			_ = f.Close()
			return Lock(path, max(0, time.Until(deadline)))
		case err == nil:
			return f, nil
		case errors.Is(err, unix.EWOULDBLOCK) && time.Now().Before(deadline), errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			err = ErrLocked
		}
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
}

// gone reports whether the file that was opened is not the one at its path any more.
func gone(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(f.Name())
	return errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(mine, now)
}
