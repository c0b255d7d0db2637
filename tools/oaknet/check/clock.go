// SPDX-License-Identifier: Apache-2.0

package check

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// plausible is a day that no right clock can show any more.
const plausible = 2025

// worstError is how far off the time of day may be: certificates and tokens are judged by it, which allow for about a minute.
const worstError = 10 * time.Second

// Clock judges the time of day of this machine.
func Clock(now time.Time) Findings {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Findings{{Note, "clock", "the kernel does not tell whether it is right: " + err.Error(), ""}}
	}
	return clock(now, t.Status&unix.STA_UNSYNC == 0 && state != unix.TIME_ERROR, time.Duration(t.Maxerror)*time.Microsecond)
}

func clock(now time.Time, synchronised bool, off time.Duration) Findings {
	const advice = "run a time service such as systemd-timesyncd or chrony: certificates and tokens are judged by the time of day"
	switch {
	case now.Year() < plausible:
		return Findings{{Failure, "clock", "it is set to " + now.UTC().Format(time.DateOnly) + ": certificates are not valid yet", advice}}
	case !synchronised:
		return Findings{{Warning, "clock", "nothing keeps it right", advice}}
	case off > worstError:
		return Findings{{Warning, "clock", fmt.Sprintf("it may be off by %.0f s", off.Seconds()), advice}}
	}
	return Findings{{OK, "clock", fmt.Sprintf("right to %.0f ms", off.Seconds()*1000), ""}}
}
