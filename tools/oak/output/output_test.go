// SPDX-License-Identifier: Apache-2.0

package output_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

type row struct {
	Name string `json:"name"`
	Note string `json:"note"`
}

func TestList(t *testing.T) {
	columns := []output.Column[row]{
		{Name: "NAME", Value: func(r row) string { return r.Name }},
		{Name: "NOTE", Wide: true, Value: func(r row) string { return r.Note }},
	}
	rows := []row{{"a", ""}, {"longer\x1b[2J\n", "x"}}
	for f, want := range map[output.Format]string{
		output.Plain: "NAME\na\nlonger [2J\n",
		output.Wide:  "NAME         NOTE\na            -\nlonger [2J   x\n",
		output.JSON:  "[\n  {\n    \"name\": \"a\",\n    \"note\": \"\"\n  },\n  {\n    \"name\": \"longer\\u001b[2J\\n\",\n    \"note\": \"x\"\n  }\n]\n",
		output.YAML:  "- name: a\n  note: \"\"\n- name: \"longer\\e[2J\\n\"\n  note: x\n",
	} {
		var out, note bytes.Buffer
		require.NoError(t, output.List(&out, &note, f, rows, columns))
		assert.Equal(t, want, out.String(), f)
		assert.Empty(t, note.String())
	}
	var out, note bytes.Buffer
	require.NoError(t, output.List(&out, &note, output.Plain, nil, columns))
	assert.Empty(t, out.String())
	assert.Equal(t, "nothing found\n", note.String())
	require.NoError(t, output.List(&out, &note, output.JSON, nil, columns))
	assert.Equal(t, "[]\n", out.String())
	out.Reset()
	require.NoError(t, output.Bare(&out, output.Plain, rows[:1], columns))
	assert.Equal(t, "a\n", out.String())
}

func TestSort(t *testing.T) {
	columns := []output.Column[row]{
		{Name: "NAME", Value: func(r row) string { return r.Name }},
		{Name: "NOTE", Wide: true, Value: func(r row) string { return r.Note }},
		{Name: "LENGTH", Value: func(r row) string { return "?" }, By: func(r row) float64 { return float64(len(r.Name)) }},
	}
	for by, want := range map[string]string{
		"name":       "10.0.0.2:80 10.0.0.10:80 x yy z",
		"-name":      "z yy x 10.0.0.10:80 10.0.0.2:80",
		"note,-NAME": "z yy 10.0.0.2:80 10.0.0.10:80 x",
		"-note":      "x 10.0.0.10:80 yy 10.0.0.2:80 z",
		"length":     "z x yy 10.0.0.2:80 10.0.0.10:80",
	} {
		rows := []row{{"yy", "9"}, {"10.0.0.10:80", "10"}, {"z", "-1"}, {"x", "11"}, {"10.0.0.2:80", "9"}}
		require.NoError(t, output.Sort(rows, columns, by), by)
		var names []string
		for _, r := range rows {
			names = append(names, r.Name)
		}
		assert.Equal(t, want, strings.Join(names, " "), by)
	}
	require.ErrorIs(t, output.Sort(nil, columns, "colour"), output.ErrColumn)
	require.ErrorContains(t, output.Sort(nil, columns, "colour"), "choose of name, note, length")
}

func TestFormatIsAFlag(t *testing.T) {
	for _, f := range output.Formats() {
		var got output.Format
		require.NoError(t, got.Set(string(f)))
		assert.Equal(t, f, got)
		assert.Equal(t, f == output.JSON || f == output.YAML, f.Data())
	}
	var got output.Format
	root := &cobra.Command{}
	got.AddFlag(root)
	assert.Equal(t, output.Plain, got)
	require.ErrorIs(t, root.ParseFlags([]string{"-o", "xml"}), output.ErrFormat)
	require.NoError(t, root.ParseFlags([]string{"-o", "yaml"}))
	assert.Equal(t, output.YAML, got)
}
