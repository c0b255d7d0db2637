// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

func (p *program) flushCommand() *cobra.Command {
	filter := &flowFilter{}
	var all, dry bool
	flow := &cobra.Command{
		Use: "flow", Short: "Forget flows",
		Long: `Forgets the flows that pass the filters, both directions, and lists them. The next packet of a UDP flow or an echo opens another, to an
instance that is chosen anew. A TCP connection ends: its next packet belongs to no flow. --dry-run only lists; without a filter, --all
has to be given.`,
		Args: cmdline.Args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if err := filter.check(); err != nil {
				return err
			}
			if filter.isEmpty() != all {
				return cmdline.Usagef("give filters of flows, or --all alone: every TCP connection of this worker ends by that")
			}
			return p.flush(filter, dry)
		},
	}
	flow.Flags().BoolVar(&all, "all", false, "forget every flow")
	flow.Flags().BoolVar(&dry, "dry-run", false, "list what would be forgotten, and forget nothing")
	filter.addFlags(p, flow)
	cmd := &cobra.Command{Use: "flush", Short: "Remove state from the datapath: the one command that changes it"}
	cmd.AddCommand(flow)
	cmdline.Group(cmd)
	return cmd
}

func (p *program) flush(filter *flowFilter, dry bool) error {
	r, err := p.open()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	flows, err := r.Flows()
	if err != nil {
		return fmt.Errorf("list flows: %w", err)
	}
	flows = slices.DeleteFunc(flows, func(f inspect.Flow) bool { return !filter.takes(f) })
	if !dry {
		for _, f := range flows {
			if err := r.Forget(f); err != nil {
				return err
			}
		}
	}
	if p.format.Data() {
		return output.Value(p.Out, p.format, flows)
	}
	if err := write(p, p.Out, flows, flowColumns()); err != nil {
		return err
	}
	verb := "forgot"
	if dry {
		verb = "would forget"
	}
	_, err = fmt.Fprintf(p.Err, "%s %d flows\n", verb, len(flows))
	return err
}
