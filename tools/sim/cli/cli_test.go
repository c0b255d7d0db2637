// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/sim/hollow"
)

func TestShares(t *testing.T) {
	got, err := parseShares([]string{"slow=0.05", "dying=0.5"})
	require.NoError(t, err)
	require.Equal(t, map[hollow.Kind]float64{hollow.Slow: 0.05, hollow.Dying: 0.5}, got)
	for text, why := range map[string]string{"lazy=0.1": "kinds are", "slow": "from 0 to 1", "slow=NaN": "from 0 to 1", "slow=2": "from 0 to 1"} {
		_, err := parseShares([]string{text})
		require.ErrorContains(t, err, why, text)
	}
	_, err = parseShares([]string{"slow=0.6", "dying=0.6"})
	require.ErrorContains(t, err, "more than there are")
}
