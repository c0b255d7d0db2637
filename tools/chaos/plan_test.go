// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var someHosts = Hosts{Roots: []string{"root", "root2"}, Clusters: []string{"c1", "c2"}, Standbys: []string{"c1s", "c2s"},
	Workers: []string{"c1-w1", "c1-w2", "c2-w1", "c2-w2"}}

func TestPlanRepeatsAndHoldsItsShares(t *testing.T) {
	const longest = 10 * time.Second
	require.Equal(t, Plan(7, 200, someHosts, longest), Plan(7, 200, someHosts, longest))
	require.NotEqual(t, Plan(7, 200, someHosts, longest), Plan(8, 200, someHosts, longest))
	for seed := range uint64(500) {
		holdsItsShares(t, Plan(seed, 200, someHosts, longest), longest)
	}
	// Fewer steps are the beginning of another plan, but have their share of pairs as well.
	require.Len(t, Plan(7, 20, someHosts, longest), 20)
}

// holdsItsShares checks that a plan of 200 steps has what one has to have: done as it is, nothing is short.
func holdsItsShares(t *testing.T, steps []Step, longest time.Duration) {
	t.Helper()
	count := map[Kind]int{}
	pairs := 0
	for i, s := range steps {
		require.Equal(t, i+1, s.N)
		if len(s.Faults) == 2 {
			pairs++
			require.Less(t, s.Lag, s.Faults[0].Hold, "%s: the two do not overlap", s)
			require.NotEqual(t, Reboot, s.Faults[0].Kind, "%s: it lasts no given time", s)
		}
		for _, f := range s.Faults {
			count[f.Kind]++
			require.LessOrEqual(t, f.Hold, longest)
			require.NotEmpty(t, f.Target, f.Kind)
			require.NotEqual(t, f.Target, f.Other)
		}
	}
	require.Equal(t, 20, pairs)
	for _, k := range Kinds() {
		require.GreaterOrEqual(t, count[k], 10, k)
	}
}

// TestWhatAShortRunLacks: a run that left something out is told from a whole one, and its table says so.
func TestWhatAShortRunLacks(t *testing.T) {
	var passed []Passed
	for _, s := range Plan(3, 200, someHosts, time.Second) {
		p := Passed{Overlapped: len(s.Faults) == 2, Milliseconds: int64(s.N)}
		for _, f := range s.Faults {
			p.Kinds = append(p.Kinds, f.Kind)
		}
		passed = append(passed, p)
	}
	require.Empty(t, Short(passed))
	require.Regexp(t, `(?m)^ +all steps +200 +101ms +200ms *$`, Table(passed))
	require.Contains(t, Table(passed), "20 pairs overlapped")
	last := slices.IndexFunc(passed, func(p Passed) bool { return p.Overlapped })
	passed[last].Overlapped = false
	for i := range passed {
		passed[i].Kinds = slices.DeleteFunc(passed[i].Kinds, func(k Kind) bool { return k == OneWay })
	}
	require.Equal(t, []string{`"oneway" came 0 times, want 10`, "19 pairs overlapped, want 20"}, Short(passed))
	require.Regexp(t, `(?m)^ +oneway +0 *$`, Table(passed))
}

// TestJournalGoesOn with the same plan, and begins anew with another, or once all has passed.
func TestJournalGoesOn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "journal.json")
	plan := Plan(1, 2, someHosts, time.Second)
	j, err := OpenJournal(file, 1, plan)
	require.NoError(t, err)
	first := Passed{Kinds: []Kind{Reboot}, Milliseconds: 5}
	require.NoError(t, j.Note(first))
	j, err = OpenJournal(file, 1, plan)
	require.NoError(t, err)
	require.Equal(t, []Passed{first}, j.Passed)
	other := Plan(2, 2, someHosts, time.Second)
	j, err = OpenJournal(file, 1, other)
	require.NoError(t, err)
	require.Empty(t, j.Passed)
	require.NoError(t, j.Note(first))
	require.NoError(t, j.Note(first))
	j, err = OpenJournal(file, 1, other)
	require.NoError(t, err)
	require.Empty(t, j.Passed)
}
