// SPDX-License-Identifier: Apache-2.0

package cmdline_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/cmdline/manual"
)

func TestReferenceTellsWhatRuns(t *testing.T) {
	b := newBench(nil)
	b.before = errors.New("what other commands need")
	require.Zero(t, b.run("reference", "-o", "json"), b.errs.String())
	var m manual.Manual
	require.NoError(t, json.Unmarshal(b.out.Bytes(), &m))
	require.Equal(t, "prog", m.Program)
	commands := map[string]manual.Command{}
	for _, c := range m.Commands {
		commands[c.Command] = c
	}
	require.Len(t, commands, 3, "%v", m.Commands)
	require.Contains(t, commands, "prog version")
	require.Equal(t, []manual.Flag{{Name: "tunnel-port", Type: "int", Default: "1", Variable: "P_TUNNEL_PORT"}}, commands["prog do"].Flags)
	require.Len(t, commands["prog"].Shared, 3)

	b = newBench(nil)
	require.Zero(t, b.run("reference"))
	require.Contains(t, b.out.String(), "\n## prog do\n")
	require.Contains(t, b.out.String(), "\n| `--place` | `P_PLACE` | `here` |  |\n")
	require.NotContains(t, b.out.String(), "reference", "it is hidden")

	b = newBench(nil)
	require.Equal(t, cmdline.Usage, b.run("reference", "-o", "xml"))
	require.Contains(t, b.errs.String(), `flag --output: "xml" is none of md, json`)
}

func TestReferenceHasWhatNoFlagTells(t *testing.T) {
	root := &cobra.Command{Use: "q", Short: "Do it.", RunE: func(*cobra.Command, []string) error { return nil }}
	p := cmdline.Program{Prefix: "Q_", Extra: func() (manual.Extra, error) {
		return manual.Extra{
			Variables: []manual.Variable{{Name: "Q_X", Meaning: "a|b\nc_d <e>"}},
			Ports:     []manual.Port{{Port: 7, Protocol: "TCP", On: "root", From: "users", Meaning: "echo", Flag: "--listen"}},
			Keys:      []manual.Keys{{File: "q.json", Keys: []manual.Variable{{Name: "K", Meaning: "key"}}}},
			Metrics:   &manual.Metrics{Where: "`/metrics`", Metrics: []manual.Metric{{Name: "q_x", Labels: []string{"a", "b"}, Meaning: "counted"}}},
		}, nil
	}}
	p.Adopt(root)
	m, err := p.Manual(root)
	require.NoError(t, err)
	page := m.Markdown()
	for _, line := range []string{
		"| `Q_X` | a\\|b c\\_d &lt;e> |\n", "| TCP 7 | root | users | echo | `--listen` |\n", "## Keys of q.json\n\n| key | |\n|---|---|\n| `K` | key |\n",
		"| `q_x` | a, b | counted |\n", "```text\nDo it.\n```\n",
	} {
		require.Contains(t, page, line)
	}
	p.Extra = func() (manual.Extra, error) { return manual.Extra{}, errors.New("broken") }
	_, err = p.Manual(root)
	require.ErrorContains(t, err, "broken")
}
