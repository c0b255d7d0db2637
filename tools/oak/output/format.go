// SPDX-License-Identifier: Apache-2.0

package output

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

// Format is a form of output. It can be the value of a flag.
type Format string

// The formats.
const (
	Plain Format = "table"
	Wide  Format = "wide"
	JSON  Format = "json"
	YAML  Format = "yaml"
)

// ErrFormat is wrapped by [Format.Set] for an unknown format.
var ErrFormat = errors.New("unknown output format")

// Formats lists all formats.
func Formats() []Format { return []Format{Plain, Wide, JSON, YAML} }

// Set reads a format's name.
func (f *Format) Set(s string) error {
	if !slices.Contains(Formats(), Format(s)) {
		return fmt.Errorf("%w %q: use table, wide, json or yaml", ErrFormat, s)
	}
	*f = Format(s)
	return nil
}

// String is the format's name.
func (f *Format) String() string { return string(*f) }

// Type is what help calls the flag's value.
func (f *Format) Type() string { return "string" }

// Data reports whether the format is one for programs, not for people.
func (f Format) Data() bool { return f == JSON || f == YAML }

// AddFlag adds --output to root and all its subcommands, with a table as default, and has shells complete it.
func (f *Format) AddFlag(root *cobra.Command) {
	*f = Plain
	root.PersistentFlags().VarP(f, "output", "o", "output format: table, wide, json or yaml")
	var names []string
	for _, format := range Formats() {
		names = append(names, string(format))
	}
	// It fails only for a flag that is not there.
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}
