// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

func (p *program) instanceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "instance", Aliases: []string{"instances", "in"}, Short: "Look at instances of services"}
	cmd.AddCommand(p.instanceList())
	cmdline.Group(cmd)
	return cmd
}

// listedInstance is an instance with the service that it is of.
type listedInstance struct {
	Service string `json:"service"`
	client.Instance
}

func (p *program) instanceList() *cobra.Command {
	var app, service string
	var everybody bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls", "l"}, Short: "List the instances of your services", Args: cmdline.Args(0, 0),
		Example: "  oak instance list --watch\n  oak instance list -s web -o wide",
	}
	cmd.Flags().StringVarP(&app, "app", "a", "", "only those of this application, by id or name")
	cmd.Flags().StringVarP(&service, "service", "s", "", "only those of this service, by id or name")
	cmd.Flags().BoolVarP(&everybody, "all-users", "A", false, "everybody's that you may see: all, for administrators")
	watched(cmd, func(ctx context.Context, w io.Writer) error {
		if everybody && app != "" || service != "" && (everybody || app != "") {
			return cmdline.Usagef("--app, --service and --all-users exclude one another")
		}
		c, err := p.session(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		var services []client.Service
		switch {
		case service != "":
			s, err := findService(ctx, c, service)
			if err != nil {
				return err
			}
			services = []client.Service{*s}
		case everybody:
			if services, err = c.AllServices(ctx); err != nil {
				return fmt.Errorf("list services: %w", err)
			}
		default:
			if services, err = allServices(ctx, c, app); err != nil {
				return err
			}
		}
		var list []listedInstance
		for _, s := range services {
			for _, i := range s.Instances {
				list = append(list, listedInstance{jobName(s), i})
			}
		}
		return output.List(w, p.Err, p.format, list, []output.Column[listedInstance]{
			{Name: "INSTANCE", Value: func(i listedInstance) string { return i.Service + "." + strconv.Itoa(i.Number) }},
			{Name: "STATUS", Value: func(i listedInstance) string { return instanceStatus(i.Instance) }},
			{Name: "READY", Wide: true, Value: func(i listedInstance) string { return readiness(i.Instance) }},
			{Name: "SINCE", Value: func(i listedInstance) string { return when(i.Since) }},
			{Name: "CLUSTER", Value: func(i listedInstance) string { return cmp.Or(i.ClusterName, string(i.ClusterID)) }},
			{Name: "ADDRESS", Value: func(i listedInstance) string { return i.InstanceIP }},
			{Name: "ADDRESS-V6", Wide: true, Value: func(i listedInstance) string { return i.InstanceIPv6 }},
			{Name: "RESTARTS", Value: func(i listedInstance) string { return strconv.Itoa(i.Restarts) }},
			{Name: "DETAIL", Wide: true, Value: func(i listedInstance) string { return i.StatusDetail }},
		})
	}, p)
	return cmd
}
