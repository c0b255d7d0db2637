// SPDX-License-Identifier: Apache-2.0

package output

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"
)

// Column is one column of a table of T.
type Column[T any] struct {
	Name string
	// Wide columns are left out of the plain table.
	Wide  bool
	Value func(T) string
	// By is what [Sort] goes by; nil: by what is shown.
	By func(T) float64
}

// List writes rows in the format; columns serve the tables. An empty table says so on note, where people look but scripts
// do not.
func List[T any](w, note io.Writer, f Format, rows []T, columns []Column[T]) error {
	return list(w, note, f, rows, columns, true)
}

// Bare is [List] without the line of columns' names and without the note, for scripts that read tables.
func Bare[T any](w io.Writer, f Format, rows []T, columns []Column[T]) error {
	return list(w, io.Discard, f, rows, columns, false)
}

func list[T any](w, note io.Writer, f Format, rows []T, columns []Column[T], names bool) error {
	if f.Data() {
		return Value(w, f, orEmpty(rows))
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(note, "nothing found")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	columns = slices.DeleteFunc(slices.Clone(columns), func(c Column[T]) bool { return c.Wide && f != Wide })
	line := func(cell func(Column[T]) string) {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = clean(cell(c))
		}
		// No error to check: tabwriter reports at Flush.
		_, _ = fmt.Fprintln(tw, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	if names {
		line(func(c Column[T]) string { return c.Name })
	}
	for _, row := range rows {
		line(func(c Column[T]) string { return c.Value(row) })
	}
	return tw.Flush()
}

// Value writes one value as JSON, or as YAML if the format is that.
func Value(w io.Writer, f Format, v any) error {
	var body []byte
	var err error
	if f == YAML {
		body, err = yaml.Marshal(v)
	} else {
		body, err = json.MarshalIndent(v, "", "  ")
		body = append(body, '\n')
	}
	if err != nil {
		return fmt.Errorf("write as %s: %w", f, err)
	}
	_, err = w.Write(body)
	return err
}

// clean keeps what a server sent from moving the cursor of a terminal or breaking a table, and shows an empty cell.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
	if s = strings.TrimSpace(s); s == "" {
		return "-"
	}
	return s
}

func orEmpty[T any](rows []T) []T {
	if rows == nil {
		return []T{}
	}
	return rows
}
