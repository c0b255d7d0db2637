// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGone is returned for a signal to a process that is not there any more.
var ErrGone = errors.New("process is gone")

// Signal sends a signal to exactly this process.
func (id ID) Signal(sig syscall.Signal) error {
	if id.PID <= 0 {
		return ErrGone
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", id.PID, err)
	}
	defer func() { _ = unix.Close(fd) }()
	// The descriptor holds on to whoever had the number; only now is it sure that this is the right one.
	if id.State() == Dead {
		return ErrGone
	}
	err = unix.PidfdSendSignal(fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	if err != nil {
		return fmt.Errorf("send signal %s to process %d: %w", sig, id.PID, err)
	}
	return nil
}

// Kill ends the processes by SIGKILL and waits until they are gone.
func Kill(ctx context.Context, ids ...ID) error {
	for _, id := range ids {
		if err := id.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, ErrGone) {
			return err
		}
	}
	for _, id := range ids {
		if err := id.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Wait returns when the process is dead, or with ctx's error.
func (id ID) Wait(ctx context.Context) error {
	const interval = 5 * time.Millisecond // a process that was killed is gone in less; /proc offers nothing to wait on
	for id.State() != Dead {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the end of process %d: %w", id.PID, ctx.Err())
		case <-time.After(interval):
		}
	}
	return nil
}
