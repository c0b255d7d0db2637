// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestQuantile(t *testing.T) {
	before := lag{100, []bucket{{.001, 100}, {.002, 100}, {.004, 100}, {math.Inf(1), 100}}}
	after := lag{200, []bucket{{.001, 150}, {.002, 190}, {.004, 198}, {math.Inf(1), 200}}}
	l, err := after.since(before)
	require.NoError(t, err)
	for share, want := range map[float64]time.Duration{
		.25: 500 * time.Microsecond, .5: time.Millisecond, .7: 1500 * time.Microsecond, .94: 3 * time.Millisecond, .99: 4 * time.Millisecond,
	} {
		require.InDelta(t, want, l.quantile(share), float64(time.Microsecond), "%v", share)
	}
	_, err = before.since(after)
	require.ErrorContains(t, err, "one process")
	require.Zero(t, lag{}.quantile(.99))
}
