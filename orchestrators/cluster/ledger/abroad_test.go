// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoundTripsAbroadAreMediansToStrangers(t *testing.T) {
	b := newBed(3)
	require.Nil(t, b.RoundTripsAbroad())
	b.SeeRoundTrips("w1", map[string]float64{"w2": 1, "x": 30, "y": 5})
	b.SeeRoundTrips("w2", map[string]float64{"x": 10})
	b.SeeRoundTrips("w3", map[string]float64{"x": 20, "y": -1})
	require.Equal(t, map[string]float64{"x": 20, "y": 5}, b.RoundTripsAbroad())
}
