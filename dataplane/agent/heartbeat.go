// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// beat tells the programs that first packets are read. A NetManager that lives without reading them does not beat.
func (a *Agent) beat(o *overlay) error {
	if !o.reading.Load() {
		return errors.New("first packets are not read")
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read the monotonic clock: %w", err)
	}
	return a.dp.Maps().Heartbeat.Put(0, uint64(now.Nano()))
}
