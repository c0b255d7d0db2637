// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"cmp"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// What a descriptor that is silent means; as in Kubernetes.
const (
	defaultPeriod    = 10 * time.Second
	defaultTimeout   = time.Second
	defaultSuccesses = 1
	defaultFailures  = 3
)

// firstPause is the pause after the first question to a workload that has just started and is not ready. It doubles up to the period: a
// server that needs a tenth of a second to start is not to wait ten.
const firstPause = 50 * time.Millisecond

// settings are a probe's numbers with the defaults filled in.
type settings struct {
	delay, period, timeout time.Duration
	successes, failures    int
}

func settingsOf(p *wire.Probe) settings {
	seconds := func(n int) time.Duration { return time.Duration(max(n, 0)) * time.Second }
	return settings{
		delay:     seconds(p.InitialDelaySeconds),
		period:    cmp.Or(seconds(p.PeriodSeconds), defaultPeriod),
		timeout:   cmp.Or(seconds(p.TimeoutSeconds), defaultTimeout),
		successes: cmp.Or(max(p.SuccessThreshold, 0), defaultSuccesses),
		failures:  cmp.Or(max(p.FailureThreshold, 0), defaultFailures),
	}
}
