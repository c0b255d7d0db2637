// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
)

// completeWithin bounds how long a shell waits for names.
const completeWithin = 2 * time.Second

// complete offers names that root knows for the first argument. Where root does not answer, nothing is offered.
func (p *program) complete(names func(context.Context, *client.Client) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 || p.environment().Fill(cmd) != nil || p.check() != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completeWithin)
		defer cancel()
		c, err := p.session(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer c.Close()
		return names(ctx, c), cobra.ShellCompDirectiveNoFileComp
	}
}

func applicationNames(ctx context.Context, c *client.Client) []string {
	apps, err := c.Applications(ctx)
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range apps {
		out = append(out, a.Name+"."+a.Namespace)
	}
	return out
}

func serviceNames(ctx context.Context, c *client.Client) []string {
	services, err := allServices(ctx, c, "")
	if err != nil {
		return nil
	}
	var out []string
	for _, s := range services {
		out = append(out, jobName(s))
	}
	return out
}

func clusterNames(ctx context.Context, c *client.Client) []string {
	clusters, err := c.Clusters(ctx)
	if err != nil {
		return nil
	}
	var out []string
	for _, k := range clusters {
		out = append(out, k.Name)
	}
	return out
}
