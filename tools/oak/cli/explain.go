// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

func (p *program) serviceExplain() *cobra.Command {
	return &cobra.Command{
		Use: "explain ID|NAME INSTANCE", Aliases: []string{"why"}, Short: "Tell why an instance is where it is, or has no place", Args: cmdline.Args(2, 2),
		ValidArgsFunction: p.complete(serviceNames),
		RunE: p.connected(func(ctx context.Context, c *client.Client, args []string) error {
			number, err := instanceNumber(args[1:])
			if err != nil {
				return err
			}
			s, err := findService(ctx, c, args[0])
			if err != nil {
				return err
			}
			e, err := c.Explain(ctx, s.ID, number)
			if err != nil {
				return fmt.Errorf("explain instance %d of service %s: %w", number, args[0], err)
			}
			if p.format.Data() {
				return output.Value(p.Out, p.format, e)
			}
			return printExplanation(p.Out, e)
		}),
	}
}

func printExplanation(w io.Writer, e *client.Explanation) error {
	detail := ""
	if e.StatusDetail != "" {
		detail = ": " + e.StatusDetail
	}
	_, err := fmt.Fprintf(w, "instance %d is %s since %s%s\n", e.Number, e.Status, when(e.Since), detail)
	for _, tier := range []struct {
		what, candidates string
		said             *wire.Explanation
	}{{"root", "clusters", e.Root}, {"cluster " + e.ClusterName, "workers", e.Cluster}} {
		if tier.said == nil || err != nil {
			continue
		}
		x := tier.said
		_, err = fmt.Fprintf(w, "\n%s, %s: %d of %d %s could take it\n", tier.what, when(x.At), x.Feasible, x.Candidates, tier.candidates)
		if x.Chosen != nil && err == nil {
			_, err = fmt.Fprintf(w, "  chosen: %s %s\n", x.Chosen.Name, x.Chosen.Why)
		}
		for _, r := range x.Rejections {
			if err == nil {
				_, err = fmt.Fprintf(w, "  not %s\n", r)
			}
		}
		for _, n := range x.Notes {
			if err == nil {
				_, err = fmt.Fprintf(w, "  %s\n", n)
			}
		}
	}
	return err
}
