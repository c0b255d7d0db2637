// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"
	"math"
	"time"
)

// heardWithin is for how long after root's epoch was raised, as at each start, nothing new gets a number or an address before all clusters
// have told what they have: the database may have been restored, and not know what it has given out since. A cluster that is away for
// longer is not waited for.
const heardWithin = 5 * time.Second

// heardPoll is how often it is looked at.
const heardPoll = 25 * time.Millisecond

// startedAt is when the epoch was raised, by the clock that it follows.
func startedAt(epoch uint64) time.Time {
	at, now := time.UnixMilli(int64(min(epoch, math.MaxInt64))), time.Now() //nolint:gosec // bounded
	if at.After(now) {
		return now // the clock was set back
	}
	return at
}

// heard waits until every cluster that was there before the epoch was raised has told all that it has, for heardWithin at most.
func (r *Root) heard(ctx context.Context) error {
	for time.Since(r.started) < heardWithin && !r.allHeard.Load() {
		var missing bool
		err := r.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM cluster c, epoch e
			WHERE c.full_in_epoch <> e.value AND c.joined_at < to_timestamp(e.value / 1000.0))`).Scan(&missing)
		if err != nil {
			return fmt.Errorf("look which clusters have told what they have: %w", err)
		}
		if !missing {
			r.allHeard.Store(true)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(heardPoll):
		}
	}
	return nil
}
