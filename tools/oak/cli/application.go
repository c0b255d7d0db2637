// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
	"github.com/oakestra/oakestra-ebpf/tools/oak/samples"
)

func (p *program) applicationCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "application", Aliases: []string{"app", "a"}, Short: "Create, list and delete applications"}
	cmd.AddCommand(p.applicationCreate(), p.applicationList(), p.applicationShow(), p.applicationDelete(), p.applicationSLA())
	cmdline.Group(cmd)
	return cmd
}

func (p *program) applicationList() *cobra.Command {
	var everybody bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls", "l"}, Short: "List your applications", Args: cmdline.Args(0, 0),
	}
	cmd.Flags().BoolVarP(&everybody, "all-users", "A", false, "everybody's that you may see: all, for administrators")
	watched(cmd, func(ctx context.Context, w io.Writer) error {
		c, err := p.session(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		list := c.Applications
		if everybody {
			list = c.AllApplications
		}
		apps, err := list(ctx)
		if err != nil {
			return fmt.Errorf("list applications: %w", err)
		}
		return p.printApplications(w, apps)
	}, p)
	return cmd
}

func (p *program) printApplications(w io.Writer, apps []client.Application) error {
	return output.List(w, p.Err, p.format, apps, []output.Column[client.Application]{
		{Name: "ID", Value: func(a client.Application) string { return string(a.ID) }},
		{Name: "NAME", Value: func(a client.Application) string { return a.Name }},
		{Name: "NAMESPACE", Value: func(a client.Application) string { return a.Namespace }},
		{Name: "SERVICES", Value: func(a client.Application) string { return strconv.Itoa(len(a.Microservices)) }},
		{Name: "OWNER", Wide: true, Value: func(a client.Application) string { return a.UserID }},
		{Name: "DESCRIPTION", Value: func(a client.Application) string { return a.Description }},
	})
}

func (p *program) applicationShow() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show [ID|NAME]", Aliases: []string{"s"}, Short: "Show one application and its services; without a name, list all", Args: cmdline.Args(0, 1),
		ValidArgsFunction: p.complete(applicationNames),
	}
	cmd.RunE = p.connected(func(ctx context.Context, c *client.Client, args []string) error {
		if len(args) == 0 {
			apps, err := c.Applications(ctx)
			if err != nil {
				return fmt.Errorf("list applications: %w", err)
			}
			return p.printApplications(p.Out, apps)
		}
		a, err := findApplication(ctx, c, args[0])
		if err != nil {
			return err
		}
		services, err := c.Services(ctx, a.ID)
		if err != nil {
			return fmt.Errorf("list services of %s: %w", a.Name, err)
		}
		if p.format.Data() {
			return output.Value(p.Out, p.format, map[string]any{"application": a, "services": services})
		}
		if err := p.printApplications(p.Out, []client.Application{*a}); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(p.Out)
		return p.printServices(p.Out, services)
	})
	return cmd
}

func (p *program) applicationDelete() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete ID|NAME", Aliases: []string{"d", "rm"}, Short: "Undeploy and delete an application", Args: cmdline.Args(1, 1),
		ValidArgsFunction: p.complete(applicationNames),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.RunE = p.connected(func(ctx context.Context, c *client.Client, args []string) error {
		a, err := findApplication(ctx, c, args[0])
		if err != nil {
			return err
		}
		if !yes {
			if err := p.confirm(fmt.Sprintf("Delete application %s.%s and its %d services?", a.Name, a.Namespace, len(a.Microservices))); err != nil {
				return err
			}
		}
		if err := c.DeleteApplication(ctx, a.ID); err != nil {
			return fmt.Errorf("delete application %s: %w", a.Name, err)
		}
		p.note("application %s.%s deleted", a.Name, a.Namespace)
		return nil
	})
	return cmd
}

// confirm asks on standard error and returns an error unless the answer begins with a y.
func (p *program) confirm(question string) error {
	_, _ = fmt.Fprintf(p.Err, "%s [y/N] ", question)
	line, err := bufio.NewReader(io.LimitReader(p.In, 256)).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer == "y" || answer == "yes" {
		return nil
	}
	if err != nil {
		return cmdline.Usagef("nobody there to ask: give --yes")
	}
	return fmt.Errorf("not confirmed: nothing was done")
}

func (p *program) applicationSLA() *cobra.Command {
	return &cobra.Command{
		Use: "sla [NAME]", Short: "Print a sample descriptor; without a name, list the samples", Args: cmdline.Args(0, 1),
		ValidArgs: samples.Names(),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				_, err := fmt.Fprintln(p.Out, strings.Join(samples.Names(), "\n"))
				return err
			}
			body, err := sample(args[0])
			if err != nil {
				return err
			}
			_, err = p.Out.Write(body)
			return err
		},
	}
}

func sample(name string) ([]byte, error) {
	body, ok := samples.Get(name)
	if !ok {
		return nil, cmdline.NotFoundf("no sample %q: there are %s; a file is given with -f", name, strings.Join(samples.Names(), ", "))
	}
	return body, nil
}
