// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/bench/plan"
)

func all() []plan.Part { return plan.All(32, 8) }

func names(p plan.Part) (out []string) {
	for _, s := range p.Slices {
		out = append(out, s.Name())
	}
	return out
}

func TestASliceHasOneNameAndANameOneSlice(t *testing.T) {
	for _, p := range all() {
		n := names(p)
		slices.Sort(n)
		require.Equal(t, len(n), len(slices.Compact(n)), p.Name)
		require.NotEmpty(t, n)
	}
}

func TestEveryOtherRoundIsReversed(t *testing.T) {
	p := plan.Table(4)
	there, back := p.Round(0), p.Round(1)
	require.Equal(t, there, p.Round(2))
	require.Equal(t, back, p.Round(3))
	slices.Reverse(back)
	require.Equal(t, there, back)
}

// A demand that no part measures would never be judged.
func TestWhatIsComparedIsMeasured(t *testing.T) {
	measured := map[string]bool{}
	for _, p := range all() {
		for _, n := range names(p) {
			measured[p.Name+"/"+n] = true
		}
	}
	for _, d := range plan.Demands() {
		for workload := range d.Limits {
			for _, v := range []string{d.Over, d.Under} {
				require.True(t, measured[d.Part+"/"+v+"/"+workload], "%s: %s of %s", d.Title, v, workload)
			}
		}
		require.Contains(t, plan.Comparisons(), d.Comparison)
	}
	for _, c := range plan.Comparisons() {
		for _, v := range []string{c.Over, c.Under} {
			require.True(t, measured[c.Part+"/"+v+"/bulk"] || measured[c.Part+"/"+v+"/connect"], "%s in %s", v, c.Part)
		}
	}
}

func TestOnlyKeepsWhatEverySortOfWordNames(t *testing.T) {
	parts, err := plan.Only(all(), nil)
	require.NoError(t, err)
	require.Len(t, parts, 4)

	parts, err = plan.Only(all(), []string{"oak", "nft", "udp"})
	require.NoError(t, err)
	require.Len(t, parts, 1)
	require.ElementsMatch(t, []string{"oak/udp", "nft/udp"}, names(parts[0]))
	require.Len(t, parts[0].Setups(), 2)

	parts, err = plan.Only(all(), []string{"growth", "connect"})
	require.NoError(t, err)
	require.Len(t, parts, 1)
	require.Len(t, parts[0].Slices, 9)

	parts, err = plan.Only(all(), []string{"oak/udp"})
	require.NoError(t, err)
	require.Equal(t, []string{"oak/udp"}, names(parts[0]))

	_, err = plan.Only(all(), []string{"cilium"})
	require.ErrorContains(t, err, `"cilium" is neither`)
	_, err = plan.Only(all(), []string{"host", "growth"})
	require.ErrorContains(t, err, "nothing is all of")
}
