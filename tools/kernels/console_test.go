// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/oakestra/oakestra-ebpf/tools/kernels/plan"
)

// sample is what a machine's console shows, ends of lines as a terminal makes them.
func sample() string {
	lines := []string{
		"SeaBIOS", plan.Event{Kind: plan.Ready, Text: "6.1.0 x86_64"}.String(),
		plan.Event{Kind: plan.Start, Run: 0, Text: "./a"}.String(),
		"\x16=== RUN   TestOne", "\x16--- PASS: TestOne (0.01s)",
		"\x16=== RUN   TestTwo", "    two_test.go:7: the kernel lacks tcx", "\x16--- SKIP: TestTwo (0.00s)", "\x16=== NAME  ",
		"PASS", plan.Event{Kind: plan.Exit, Run: 0, Text: "./a"}.String(),
		plan.Event{Kind: plan.Start, Run: 1, Text: "./b"}.String(),
		"\x16=== RUN   TestThree", "    three_test.go:9: want 1, got 2", "\x16--- FAIL: TestThree (0.00s)",
		"\x16=== NAME  ", "FAIL",
		"without an end" + plan.Event{Kind: plan.Exit, Run: 1, Status: 1, Text: "./b"}.String(),
		plan.Event{Kind: plan.Done}.String(),
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

// TestConsoleIsReadInAnyPieces: a console comes in pieces of any size.
func TestConsoleIsReadInAnyPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newConsole()
		for rest := sample(); rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			_, err := c.Write([]byte(rest[:n]))
			require.NoError(t, err)
			rest = rest[n:]
		}
		c.flush()
		require.Equal(t, "6.1.0 x86_64", c.kernel)
		require.True(t, c.done)
		require.Empty(t, c.broken)
		require.Equal(t, "SeaBIOS", strings.TrimSpace(c.boot.String()))
		require.Len(t, c.runs, 2)
		require.True(t, c.runs[0].exited)
		require.Equal(t, 1, c.runs[1].status)
		require.True(t, strings.HasSuffix(c.runs[1].text.String(), "FAIL\nwithout an end\n"))
	})
}

func TestResultsAreJudged(t *testing.T) {
	c := newConsole()
	_, _ = c.Write([]byte(sample()))
	a, err := judge(t.Context(), "./a", c.runs[0])
	require.NoError(t, err)
	require.True(t, a.Passed, a.Fault)
	require.Equal(t, []int{1, 0, 1}, []int{a.Pass, a.Fail, a.Skip})
	require.Equal(t, []Note{{Test: "TestTwo", Skipped: true, Text: "two_test.go:7: the kernel lacks tcx"}}, a.Notes)

	b, err := judge(t.Context(), "./b", c.runs[1])
	require.NoError(t, err)
	require.False(t, b.Passed)
	require.Equal(t, "exit status 1", b.Fault)
	require.Equal(t, "TestThree", b.Notes[0].Test)
	require.Contains(t, b.Tail, "want 1, got 2")
}

// TestSilenceIsNoSuccess: a test passes only if it says so.
func TestSilenceIsNoSuccess(t *testing.T) {
	for name, o := range map[string]*output{
		"it never began":           nil,
		"the machine ended before": {},
		"no test ran":              {exited: true},
	} {
		r, err := judge(t.Context(), "./x", o)
		require.NoError(t, err)
		require.False(t, r.Passed)
		require.Contains(t, r.Fault, name)
	}
}

func FuzzConsole(f *testing.F) {
	f.Add([]byte(sample()))
	f.Add([]byte(plan.Event{Kind: plan.Exit, Run: 7}.String() + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := newConsole()
		n, err := c.Write(b)
		if n != len(b) || err != nil {
			t.Errorf("wrote %d of %d bytes: %v", n, len(b), err)
		}
		c.flush()
	})
}
