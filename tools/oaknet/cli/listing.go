// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

// listing is a noun of oak-net: what it lists and how.
type listing[T any] struct {
	name, short, long string
	columns           []output.Column[T]
	read              func(*inspect.Reader) ([]T, error)
	// keys are what a row can be asked for by; its ids come first and may be cut short.
	keys func(T) []string
}

// how is how a listing is to be shown: in which order, how much of it, and how often.
type how struct {
	sort  string
	limit int
	repeat
}

// command returns `NAME`, `NAME list` and `NAME show KEY`.
func (l listing[T]) command(p *program) *cobra.Command {
	h := &how{}
	noun := &cobra.Command{
		Use: l.name, Short: l.short, Long: l.long, Args: cmdline.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return l.run(p, cmd, h, nil) },
	}
	h.addOrder(noun, output.Names(l.columns))
	h.addFlags(noun.PersistentFlags())
	noun.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List all", Args: cmdline.Args(0, 0),
			RunE: func(cmd *cobra.Command, _ []string) error { return l.run(p, cmd, h, nil) },
		},
		&cobra.Command{
			Use: "show KEY...", Short: "List those that a key means", Args: cmdline.Args(0, 64),
			RunE:              func(cmd *cobra.Command, args []string) error { return l.run(p, cmd, h, args) },
			ValidArgsFunction: p.completion(l.completion),
		},
	)
	return noun
}

func (l listing[T]) rows(p *program) (rows []T, err error) {
	r, err := p.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	if rows, err = l.read(r); err != nil {
		return nil, fmt.Errorf("list %ss: %w", l.name, err)
	}
	return rows, nil
}

// addOrder adds the flags that [shape] goes by to a command and those below it.
func (h *how) addOrder(cmd *cobra.Command, columns []string) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&h.sort, "sort", "", "sort by these columns, separated by commas; -COLUMN is downwards")
	flags.IntVar(&h.limit, "limit", 0, "show only the first so many; 0: all")
	must(cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(columns, cobra.ShellCompDirectiveNoFileComp)))
}

// shape sorts and cuts rows. Sorting comes first, so that both together give the largest.
func shape[T any](h *how, rows []T, columns []output.Column[T]) ([]T, error) {
	if h.limit < 0 {
		return nil, cmdline.Usagef("--limit %d is negative: use 0 for all", h.limit)
	}
	if h.sort != "" {
		if err := output.Sort(rows, columns, h.sort); err != nil {
			return nil, cmdline.Usagef("--sort: %w", err)
		}
	}
	if h.limit > 0 && len(rows) > h.limit {
		rows = rows[:h.limit]
	}
	return rows, nil
}

// run shows the rows that are wanted.
func (l listing[T]) run(p *program, cmd *cobra.Command, h *how, wanted []string) error {
	return p.run(cmd, &h.repeat, func(w io.Writer) error {
		rows, err := l.rows(p)
		if err != nil {
			return err
		}
		if rows, err = l.choose(rows, wanted); err != nil {
			return err
		}
		if rows, err = shape(h, rows, l.columns); err != nil {
			return err
		}
		return write(p, w, rows, l.columns)
	})
}

// write writes rows as the flags of all commands say.
func write[T any](p *program, w io.Writer, rows []T, columns []output.Column[T]) error {
	if p.noHeaders {
		return output.Bare(w, p.format, rows, columns)
	}
	return output.List(w, p.Err, p.format, rows, columns)
}

// idPrefix is how many characters of a key are needed at least where only its beginning is given.
const idPrefix = 4

// choose keeps the rows that are wanted, all if none is named. Each of the wanted has to be there.
func (l listing[T]) choose(rows []T, wanted []string) ([]T, error) {
	if len(wanted) == 0 {
		return rows, nil
	}
	keep := make([]bool, len(rows))
	for _, w := range wanted {
		found := false
		for i, row := range rows {
			if slices.ContainsFunc(l.keys(row), func(key string) bool { return means(w, key) }) {
				keep[i], found = true, true
			}
		}
		if !found {
			return nil, cmdline.NotFoundf("no %s %q here: `oak-net %s` lists all", l.name, w, l.name)
		}
	}
	var out []T
	for i, row := range rows {
		if keep[i] {
			out = append(out, row)
		}
	}
	return out, nil
}

// means reports whether what a person typed stands for a key: it is the key, or the beginning of an id.
func means(typed, key string) bool {
	return key != "" && (typed == key || len(typed) >= idPrefix && isID(key) && strings.HasPrefix(key, typed))
}

func isID(key string) bool {
	return len(key) == 24 && strings.Trim(key, "0123456789abcdef") == ""
}

// completion lists every key of every row.
func (l listing[T]) completion(r *inspect.Reader) ([]string, error) {
	rows, err := l.read(r)
	var out []string
	for _, row := range rows {
		out = append(out, l.keys(row)...)
	}
	return out, err
}
