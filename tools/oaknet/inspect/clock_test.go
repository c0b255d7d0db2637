// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAges(t *testing.T) {
	c := Clock{Monotonic: 10 * time.Second, Boot: 20 * time.Second, Wall: time.Date(2030, 1, 1, 0, 1, 0, 0, time.UTC)}
	assert.InDelta(t, 2.5, c.since(7_500_000_000), 0)
	assert.InDelta(t, 0.001, c.since(uint64(10*time.Second-1_234_567)), 0)
	assert.Zero(t, c.since(uint64(11*time.Second)), "written after the clock was read")
	assert.Zero(t, c.since(math.MaxUint64))
	assert.Nil(t, c.sinceOrNever(0))
	assert.InDelta(t, 10, *c.sinceOrNever(1), 0.001)
	assert.Equal(t, time.Date(2030, 1, 1, 0, 0, 45, 0, time.UTC), *c.wall(5 * time.Second))
	assert.Nil(t, c.wall(0))
}

func TestNow(t *testing.T) {
	c, err := Now()
	require.NoError(t, err)
	assert.Positive(t, c.Monotonic)
	assert.GreaterOrEqual(t, c.Boot, c.Monotonic-time.Second)
	assert.WithinDuration(t, time.Now(), c.Wall, time.Minute)
}
