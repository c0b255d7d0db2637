// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
)

// lockWait is how long a command waits for another one that changes the testbed.
const lockWait = time.Minute

// lockUnused takes the testbed's lock while no testbed is up. An owner that is about to end its testbed is given time for it.
func lockUnused(ctx context.Context) (unlock func(), err error) {
	const patience = 5 * time.Second
	for deadline := time.Now().Add(patience); ; {
		if unlock, err = lock(ctx, lockFile, lockWait); err != nil {
			return nil, err
		}
		up, owned, err := isUp()
		if err == nil && !up {
			return unlock, nil
		}
		unlock()
		if err != nil {
			return nil, err
		}
		if !owned || time.Now().After(deadline) {
			return nil, ErrUp
		}
		select {
		case <-ctx.Done():
			return nil, ErrUp
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// isUp reports whether a testbed is up: complete, wanted, and with at least one process alive; and whether
// it goes with another process.
func isUp() (up, owned bool, err error) {
	s, err := loadState()
	if err != nil || s == nil || !s.Ready || (s.Owner != nil && s.Owner.State() == proc.Dead) {
		return false, false, err
	}
	all, err := components()
	if err != nil {
		return false, false, err
	}
	for _, c := range all {
		if c.Process.State() != proc.Dead {
			return true, s.Owner != nil, nil
		}
	}
	return false, false, nil
}
