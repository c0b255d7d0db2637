// SPDX-License-Identifier: Apache-2.0

package uplink

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff spaces attempts: it doubles from Least to Most, with a quarter of jitter either way.
type Backoff struct {
	Least, Most time.Duration
	failures    int
}

// Reset notes a success.
func (b *Backoff) Reset() { b.failures = 0 }

// Wait waits before the next attempt. It reports false if ctx ended meanwhile.
func (b *Backoff) Wait(ctx context.Context) bool {
	d := min(b.Least<<min(b.failures, 16), b.Most)
	b.failures++
	t := time.NewTimer(d*3/4 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
