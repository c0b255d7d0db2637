// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Clock is one moment on the clocks that the maps and the kernel use.
type Clock struct {
	// Monotonic is CLOCK_MONOTONIC, the time of everything in the maps.
	Monotonic time.Duration
	// Boot is CLOCK_BOOTTIME, the time of loaded programs.
	Boot time.Duration
	// Wall is the time of day.
	Wall time.Time
}

// Now reads all clocks.
func Now() (Clock, error) {
	var monotonic, boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic); err != nil {
		return Clock{}, fmt.Errorf("read CLOCK_MONOTONIC: %w", err)
	}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return Clock{}, fmt.Errorf("read CLOCK_BOOTTIME: %w", err)
	}
	return Clock{Monotonic: time.Duration(monotonic.Nano()), Boot: time.Duration(boot.Nano()), Wall: time.Now()}, nil
}

// since returns how long ago a time of the maps was, in seconds to a thousandth. What was written after the clock was read is new.
func (c Clock) since(ns uint64) float64 {
	if ns > math.MaxInt64 {
		return 0
	}
	return c.ago(time.Duration(ns))
}

// ago is since for times that are durations already.
func (c Clock) ago(at time.Duration) float64 { return seconds(max(0, c.Monotonic-at)) }

// sinceOrNever is since for times of which 0 means never; it returns nil then.
func (c Clock) sinceOrNever(ns uint64) *float64 {
	if ns == 0 {
		return nil
	}
	age := c.since(ns)
	return &age
}

// wall returns when a time since boot was, to the second, nil for 0.
func (c Clock) wall(sinceBoot time.Duration) *time.Time {
	if sinceBoot == 0 {
		return nil
	}
	t := c.Wall.Add(sinceBoot - c.Boot).UTC().Round(time.Second)
	return &t
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)/time.Millisecond) / 1000
}
