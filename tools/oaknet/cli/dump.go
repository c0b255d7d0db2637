// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func (p *program) dumpCommand() *cobra.Command {
	var zeros bool
	cmd := &cobra.Command{
		Use: "dump MAP", Short: "Print a map's raw entries in hexadecimal",
		Long: `Prints the entries of a map as the programs have them, in hexadecimal. A map that is kept by processor has a value for each.
Entries of arrays that are zero throughout are shown with --all. bpf/include/types.h says what the bytes mean.`,
		Args: cmdline.Args(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := p.open()
			if err != nil {
				return err
			}
			defer func() { _ = r.Close() }()
			rows, err := r.Dump(args[0], zeros)
			if err != nil {
				return err
			}
			return write(p, p.Out, rows, []output.Column[inspect.RawEntry]{
				{Name: "KEY", Value: func(e inspect.RawEntry) string { return e.Key }},
				{Name: "VALUE", Value: func(e inspect.RawEntry) string { return strings.Join(e.Values, " ") }},
			})
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return p.completion(func(r *inspect.Reader) ([]string, error) { return r.MapNames(), nil })(cmd, args, typed)
		},
	}
	cmd.Flags().BoolVar(&zeros, "all", false, "show entries that are zero throughout too")
	return cmd
}
