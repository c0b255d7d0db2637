// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Verdict is what several answers in a row say.
type Verdict struct {
	OK bool
	// Why says what failed; empty if OK.
	Why string
}

// Start is what a workload is taken for before it was asked.
type Start int

const (
	// Failing is a workload that has just started and has to show that it is ready. It is asked often until it is.
	Failing Start = iota
	// Healthy is one that has just started and is well until it fails.
	Healthy
	// Unknown is one that was found running: the first answer is the verdict, and is told in any case.
	Unknown
)

// Watch asks until ctx ends and tells each new verdict. tell must not block for long.
func Watch(ctx context.Context, p *wire.Probe, t Target, start Start, tell func(Verdict)) {
	s := settingsOf(p)
	watch(ctx, &asker{probe: p, target: t, timeout: s.timeout}, s, start, tell)
}

func watch(ctx context.Context, a *asker, s settings, start Start, tell func(Verdict)) {
	first := s.delay
	switch {
	case start == Unknown:
		first = 0
	case start == Healthy && first == 0:
		first = s.period // nobody is well in the moment of its start
	}
	if !sleep(ctx, first) {
		return
	}
	ok, known, inRow := start == Healthy, start != Unknown, 0
	pause := s.period
	if start == Failing {
		pause = min(firstPause, s.period)
	}
	eager := start == Failing
	for {
		err := a.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		threshold := s.failures
		if err == nil {
			threshold = s.successes
		}
		switch inRow++; {
		case !known:
			ok, known, inRow = err == nil, true, 0
			tell(verdict(a.probe, err))
		case (err == nil) == ok:
			inRow = 0
		case inRow >= threshold:
			ok, inRow = err == nil, 0
			tell(verdict(a.probe, err))
		}
		if eager = eager && !ok; !eager {
			pause = s.period
		}
		if !sleep(ctx, pause-rand.N(pause/10+1)) { // so that a thousand probes do not ask in step
			return
		}
		pause = min(2*pause, s.period)
	}
}

func verdict(p *wire.Probe, err error) Verdict {
	if err == nil {
		return Verdict{OK: true}
	}
	return Verdict{Why: fmt.Sprintf("%s: %v", String(p), err)}
}

// sleep returns false if ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
