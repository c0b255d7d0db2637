// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestEventsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Event{
			Kind:   rapid.SampledFrom([]string{Ready, Start, Exit, Broken, Done}).Draw(t, "kind"),
			Run:    rapid.IntRange(0, 1000).Draw(t, "run"),
			Status: rapid.IntRange(-1, 255).Draw(t, "status"),
			Text:   rapid.StringMatching(`[ -~]{0,40}`).Draw(t, "text"),
		}
		before, got, ok := ParseEvent("printed" + want.String() + "\r")
		require.True(t, ok)
		require.Equal(t, "printed", before)
		require.Equal(t, want, got)
	})
}

func TestAnEventIsOneLine(t *testing.T) {
	require.NotContains(t, Event{Kind: Broken, Text: "two\nlines"}.String(), "\n")
}

func FuzzParseEvent(f *testing.F) {
	f.Add(Event{Kind: Exit, Run: 1, Status: 2, Text: "./bpf"}.String())
	f.Add(mark + "exit -1 0 x")
	f.Add(mark + "exit 0")
	f.Add("--- PASS: TestX (0.00s)")
	f.Fuzz(func(t *testing.T, line string) {
		before, e, ok := ParseEvent(line)
		if !ok && before != line {
			t.Errorf("%q holds no event, yet %q is left of it", line, before)
		}
		if ok && (e.Run < 0 || !strings.HasPrefix(line, before)) {
			t.Errorf("%q gives %+v after %q", line, e, before)
		}
	})
}
