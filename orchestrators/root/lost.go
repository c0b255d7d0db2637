// SPDX-License-Identifier: Apache-2.0

package root

import (
	"math"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// DefaultLostAfter is how long a cluster has to be silent before its instances are given to others, unless configured.
const DefaultLostAfter = 2 * time.Minute

// lapse is the longest time between two looks of a process that counts as listening: longer, it was stopped, or its database away.
const lapse = 4 * retryEvery

// lostClusters selects the clusters that have been silent for longer than $2 seconds.
const lostClusters = `SELECT id FROM cluster WHERE coalesce(reported_at, joined_at) < now() - $2 * interval '1 second'`

// lostBefore returns for how many seconds a cluster has to have been silent to be lost: for ever, if this process may itself be why nothing
// was heard. It may have said something last up to a report before it was cut off, which is no part of the grace time: a cut that is shorter
// moves nothing.
func (r *Root) lostBefore(now time.Time) float64 {
	silent := r.lostAfter + wire.ClusterReportEvery
	if !r.listening.longerThan(silent, now) {
		return math.MaxInt32
	}
	return silent.Seconds()
}

// listening says since when this process could have heard of clusters, so that its own absence is never taken for theirs: after root or
// Postgres were away all clusters are given their whole grace time again.
type listening struct {
	mu    sync.Mutex
	since time.Time
	last  time.Time
}

// look notes a look at the database at a time, and whether it succeeded.
func (l *listening) look(now time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() || !ok || now.Sub(l.last) > lapse {
		l.since = now
	}
	l.last = now
}

// longerThan reports whether this process has been listening for longer than a time.
func (l *listening) longerThan(d time.Duration, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.since.IsZero() && now.Sub(l.last) <= lapse && now.Sub(l.since) > d
}
