// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func (p *program) dropCommand() *cobra.Command {
	type row = inspect.Drop
	var zeros bool
	cmd := listing[row]{
		name: "drop", short: "List why packets were dropped, and where the others went",
		long: `Lists the counters of the programs, summed over processors: KIND drop says why packets were dropped, KIND pass where others
came from or went. Counters at 0 are shown with --all.`,
		columns: []output.Column[row]{
			{Name: "KIND", Value: func(d row) string { return d.Kind }},
			{Name: "REASON", Value: func(d row) string { return d.Reason }},
			{Name: "PACKETS", Value: func(d row) string { return number(d.Packets) }},
			{Name: "BYTES", Value: func(d row) string { return number(d.Bytes) }},
		},
		read: func(r *inspect.Reader) ([]row, error) { return r.Drops(zeros) },
		keys: func(d row) []string { return []string{d.Reason, d.Kind} },
	}.command(p)
	cmd.PersistentFlags().BoolVar(&zeros, "all", false, "show counters at 0 too")
	return cmd
}
