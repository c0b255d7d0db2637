// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrBusy is returned when another command is changing the testbed.
var ErrBusy = errors.New("another oak-testbed is at work")

// lock takes the file at path as a lock, waiting for up to wait. The lock goes with the process, however that ends.
func lock(ctx context.Context, path string, wait time.Duration) (unlock func(), err error) {
	deadline := time.Now().Add(wait)
	for {
		f, err := tryLock(path)
		if err == nil {
			return func() {
				_ = os.Remove(path) // while it is held: who waits on the removed file sees that and opens a new one
				_ = f.Close()
			}, nil
		}
		if !errors.Is(err, ErrBusy) || time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the testbed: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path) // only for the message
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (process %s, which holds %s): wait for it or end it", ErrBusy,
				strings.TrimSpace(string(holder)), path)
		}
		return nil, fmt.Errorf("lock the testbed: lock %s: %w", path, err)
	}
	// The holder before may have removed the file between our opening and our locking it.
	if !sameFile(f, path) {
		_ = f.Close()
		return nil, fmt.Errorf("%w: it has just ended", ErrBusy)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintln(f, os.Getpid()) // only for the message above
	}
	return f, nil
}

func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}
