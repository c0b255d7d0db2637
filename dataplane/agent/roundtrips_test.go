// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/dataplane/peer"
)

func TestRoundTripsAreToldWhenTheyAreNews(t *testing.T) {
	told := map[string]float64{"a": 1, "b": 20}
	for name, tc := range map[string]struct {
		now  map[string]float64
		news bool
	}{
		"the same":    {map[string]float64{"a": 1, "b": 20}, false},
		"jitter":      {map[string]float64{"a": 1.15, "b": 23}, false},
		"slower":      {map[string]float64{"a": 1, "b": 26}, true},
		"faster":      {map[string]float64{"a": 0.5, "b": 20}, true},
		"another":     {map[string]float64{"a": 1, "c": 20}, true},
		"one more":    {map[string]float64{"a": 1, "b": 20, "c": 3}, true},
		"one is gone": {map[string]float64{"a": 1}, true},
	} {
		require.Equal(t, tc.news, differ(tc.now, &told), name)
	}
	require.False(t, differ(nil, nil))
	require.True(t, differ(told, nil))
}

func TestTheNearestPeersAreTold(t *testing.T) {
	peers := []peer.Status{{WorkerID: "silent", RTT: 1, Silent: true}, {WorkerID: "unknown"}}
	for i := range 2 * maxRoundTrips {
		peers = append(peers, peer.Status{WorkerID: fmt.Sprint(i), RTT: time.Duration(i+1) * time.Millisecond})
	}
	got := nearest(peers)
	require.Len(t, got, maxRoundTrips)
	require.InDelta(t, 1, got["0"], 1e-9)
	require.InDelta(t, maxRoundTrips, got[fmt.Sprint(maxRoundTrips-1)], 1e-9)
}
