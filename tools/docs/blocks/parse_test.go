// SPDX-License-Identifier: Apache-2.0

package blocks_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/docs/blocks"
)

// page joins lines; ' stands for the ` of a fence.
func page(lines ...string) string {
	return strings.ReplaceAll(strings.Join(lines, "\n"), "'''", "```") + "\n"
}

func TestBlocksAreReadWithTheirPlaces(t *testing.T) {
	found, err := blocks.Parse("P.md", page(
		"# Title", "", "'''sh start", "one", "", "    two", "'''", "", "- item", "  '''sh in-item", "  three", "  '''", "    more of the item",
		"", "~~~text", "'''", "no block", "~~~", "", "'''json", "{}", "'''"))
	require.NoError(t, err)
	require.Equal(t, []blocks.Block{
		{File: "P.md", Line: 3, Language: "sh", ID: "start", Text: "one\n\n    two\n"},
		{File: "P.md", Line: 10, Language: "sh", ID: "in-item", Text: "three\n"},
		{File: "P.md", Line: 15, Language: "text", Text: "```\nno block\n"},
		{File: "P.md", Line: 20, Language: "json", Text: "{}\n"},
	}, found)
	require.Equal(t, "P.md:3 (block start)", found[0].Place())
}

func TestWhatHidesCommandsIsRefused(t *testing.T) {
	for _, c := range []struct{ body, fault string }{
		{page("'''sh", "x", "'''"), "P.md:1: block of commands without an id"},
		{page("'''sh a b", "x", "'''"), "P.md:1: block of commands without an id"},
		{page("'''sh A", "x", "'''"), "P.md:1: block of commands without an id"},
		{page("'''", "x", "'''"), `P.md:1: block in ""`},
		{page("text", "'''bash", "x", "'''"), `P.md:2: block in "bash"`},
		{page("'''console", "x", "'''"), `P.md:1: block in "console"`},
		{page("'''sh a", "x", "'''", "'''sh a", "y", "'''"), `P.md:4: block of commands "a": line 1 has that id too`},
		{page("", "", "'''sh a", "x"), "P.md:3: block is not closed"},
		{page("text", "", "    make it"), "P.md:3: indented block"},
		{page("    make it"), "P.md:1: indented block"},
	} {
		_, err := blocks.Parse("P.md", c.body)
		require.ErrorContains(t, err, c.fault, c.body)
	}
}

// FuzzParse: no document makes the parser panic, and every block of commands that it lets pass has an id and one place.
func FuzzParse(f *testing.F) {
	f.Add(page("'''sh a", "x", "'''"))
	f.Add(page("~~~text", "'''", "~~~~", "    x"))
	f.Fuzz(func(t *testing.T, body string) {
		found, err := blocks.Parse("P.md", body)
		if err != nil {
			return
		}
		lines := strings.Split(body, "\n")
		for _, b := range found {
			require.True(t, b.Language != "sh" || b.ID != "")
			require.Contains(t, lines[b.Line-1], b.Language)
		}
	})
}
