// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

func (p *program) serviceEvents() *cobra.Command {
	cmd := &cobra.Command{
		Use: "events ID|NAME [INSTANCE]", Aliases: []string{"e"}, Short: "Tell what became of a service's instances, and why", Args: cmdline.Args(1, 2),
		ValidArgsFunction: p.complete(serviceNames),
	}
	var follow bool
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "tell what happens from now on, until you interrupt")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		number, err := instanceNumber(args[1:])
		if err != nil {
			return err
		}
		c, err := p.session(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		s, err := findService(ctx, c, args[0])
		if err != nil {
			return err
		}
		if follow {
			return p.followEvents(ctx, c, client.EventFilter{Service: s.ID, Number: number, Since: -1})
		}
		return p.printEvents(ctx, c, *s, number)
	}
	return cmd
}

// instanceNumber returns the number that follows a service, or all instances if none does.
func instanceNumber(args []string) (int, error) {
	if len(args) == 0 {
		return client.AllInstances, nil
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 0 {
		return 0, cmdline.Usagef("%q is no instance number", args[0])
	}
	return n, nil
}

// printEvents prints what is known of one instance of a service, or of all.
func (p *program) printEvents(ctx context.Context, c *client.Client, s client.Service, number int) error {
	list, err := c.Events(ctx, s.ID, number)
	if err != nil {
		return fmt.Errorf("list events of service %s: %w", jobName(s), err)
	}
	return output.List(p.Out, p.Err, p.format, list, []output.Column[client.Event]{
		{Name: "WHEN", Value: func(e client.Event) string { return when(e.At) }},
		{Name: "INSTANCE", Value: func(e client.Event) string { return strconv.Itoa(e.Number) }},
		{Name: "STATUS", Value: func(e client.Event) string {
			return instanceStatus(client.Instance{Status: e.Status, Deleting: e.Deleting})
		}},
		{Name: "CLUSTER", Value: func(e client.Event) string { return cmp.Or(e.ClusterName, string(e.ClusterID)) }},
		{Name: "GENERATION", Wide: true, Value: func(e client.Event) string { return fmt.Sprintf("%d.%d", e.Placement, e.Move) }},
		{Name: "DETAIL", Value: func(e client.Event) string { return e.Detail }},
	})
}
