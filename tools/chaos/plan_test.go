// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var someHosts = Hosts{Clusters: []string{"c1", "c2"}, Workers: []string{"c1-w1", "c1-w2", "c2-w1", "c2-w2"}}

func TestPlanRepeatsAndHoldsItsShares(t *testing.T) {
	const longest = 10 * time.Second
	steps := Plan(7, 200, someHosts, longest)
	require.Equal(t, steps, Plan(7, 200, someHosts, longest))
	require.NotEqual(t, steps, Plan(8, 200, someHosts, longest))
	count := map[Kind]int{}
	pairs := 0
	for i, s := range steps {
		require.Equal(t, i+1, s.N)
		if len(s.Faults) == 2 {
			pairs++
			require.Less(t, s.Lag, s.Faults[0].Hold, "%s: the two do not overlap", s)
		}
		for _, f := range s.Faults {
			count[f.Kind]++
			require.Less(t, f.Hold, longest)
			require.NotEmpty(t, f.Target, f.Kind)
			require.NotEqual(t, f.Target, f.Other)
		}
	}
	require.Equal(t, 20, pairs)
	for _, k := range Kinds() {
		require.GreaterOrEqual(t, count[k], 10, k)
	}
	// Fewer steps are the beginning of another plan, but have their share of pairs as well.
	require.Len(t, Plan(7, 20, someHosts, longest), 20)
}
