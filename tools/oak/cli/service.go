// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

func (p *program) serviceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "service", Aliases: []string{"s", "svc"}, Short: "Look at services, deploy, scale and undeploy them"}
	cmd.AddCommand(p.serviceList(), p.serviceShow(), p.serviceInspect(), p.serviceEvents(), p.serviceExplain(), p.serviceDeploy(), p.serviceUndeploy(), p.serviceScale(), p.serviceUpdate(),
		p.serviceRollout(), p.serviceRollback(), p.serviceHistory())
	cmdline.Group(cmd)
	return cmd
}

func (p *program) serviceList() *cobra.Command {
	var app string
	var everybody bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls", "l"}, Short: "List your services", Args: cmdline.Args(0, 0),
	}
	cmd.Flags().StringVarP(&app, "app", "a", "", "only those of this application, by id or name")
	cmd.Flags().BoolVarP(&everybody, "all-users", "A", false, "everybody's that you may see: all, for administrators")
	watched(cmd, func(ctx context.Context, w io.Writer) error {
		if everybody && app != "" {
			return cmdline.Usagef("--app and --all-users exclude each other")
		}
		c, err := p.session(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		if everybody {
			services, err := c.AllServices(ctx)
			if err != nil {
				return fmt.Errorf("list services: %w", err)
			}
			return p.printServices(w, services)
		}
		services, err := allServices(ctx, c, app)
		if err != nil {
			return err
		}
		return p.printServices(w, services)
	}, p)
	return cmd
}

func (p *program) printServices(w io.Writer, services []client.Service) error {
	return output.List(w, p.Err, p.format, services, []output.Column[client.Service]{
		{Name: "ID", Value: func(s client.Service) string { return string(s.ID) }},
		{Name: "SERVICE", Value: jobName},
		{Name: "STATUS", Value: func(s client.Service) string { return string(s.Status) }},
		{Name: "RUNNING", Value: func(s client.Service) string { return fmt.Sprintf("%d/%d", running(s), len(staying(s))) }},
		{Name: "ADDRESS", Value: func(s client.Service) string { return s.RoundRobin }},
		{Name: "ADDRESS-V6", Wide: true, Value: func(s client.Service) string { return s.RoundRobinV6 }},
		{Name: "PORTS", Wide: true, Value: func(s client.Service) string { return s.Port }},
		{Name: "VCPUS", Wide: true, Value: func(s client.Service) string { return strconv.Itoa(s.VCPUs) }},
		{Name: "MEMORY", Wide: true, Value: func(s client.Service) string { return mebibytes(int64(s.MemoryMB)) }},
		{Name: "IMAGE", Value: func(s client.Service) string { return s.Image }},
		{Name: "DETAIL", Wide: true, Value: func(s client.Service) string { return s.StatusDetail }},
	})
}

func (p *program) printInstances(w io.Writer, s client.Service) error {
	return output.List(w, p.Err, p.format, s.Instances, []output.Column[client.Instance]{
		{Name: "INSTANCE", Value: func(i client.Instance) string { return strconv.Itoa(i.Number) }},
		{Name: "STATUS", Value: instanceStatus},
		{Name: "READY", Wide: true, Value: readiness},
		{Name: "SINCE", Wide: true, Value: func(i client.Instance) string { return when(i.Since) }},
		{Name: "CLUSTER", Value: func(i client.Instance) string {
			return cmp.Or(i.ClusterName, string(i.ClusterID))
		}},
		{Name: "ADDRESS", Value: func(i client.Instance) string { return i.InstanceIP }},
		{Name: "ADDRESS-V6", Wide: true, Value: func(i client.Instance) string { return i.InstanceIPv6 }},
		{Name: "CPU", Value: func(i client.Instance) string { return fmt.Sprintf("%.1f%%", i.CPUPercent) }},
		{Name: "MEMORY", Value: func(i client.Instance) string { return fmt.Sprintf("%.1f MiB", float64(i.MemoryBytes)/(1<<20)) }},
		{Name: "RESTARTS", Wide: true, Value: func(i client.Instance) string { return strconv.Itoa(i.Restarts) }},
		{Name: "DETAIL", Value: func(i client.Instance) string { return i.StatusDetail }},
	})
}

func (p *program) serviceShow() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show [ID|NAME]", Short: "Show one service and its instances; without a name, list all", Args: cmdline.Args(0, 1),
		ValidArgsFunction: p.complete(serviceNames),
	}
	var app string
	cmd.Flags().StringVarP(&app, "app", "a", "", "without a name: only those of this application")
	cmd.RunE = p.connected(func(ctx context.Context, c *client.Client, args []string) error {
		if len(args) == 0 {
			services, err := allServices(ctx, c, app)
			if err != nil {
				return err
			}
			return p.printServices(p.Out, services)
		}
		s, err := findService(ctx, c, args[0])
		if err != nil {
			return err
		}
		if p.format.Data() {
			return output.Value(p.Out, p.format, s)
		}
		if err := p.printServices(p.Out, []client.Service{*s}); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(p.Out)
		return p.printInstances(p.Out, *s)
	})
	return cmd
}

func (p *program) serviceInspect() *cobra.Command {
	cmd := &cobra.Command{
		Use: "inspect ID|NAME", Aliases: []string{"i"}, Short: "Print all that root knows of a service, as JSON or YAML", Args: cmdline.Args(1, 1),
		ValidArgsFunction: p.complete(serviceNames),
	}
	cmd.RunE = p.connected(func(ctx context.Context, c *client.Client, args []string) error {
		s, err := findService(ctx, c, args[0])
		if err != nil {
			return err
		}
		raw, err := c.RawService(ctx, s.ID)
		if err != nil {
			return fmt.Errorf("inspect service %s: %w", args[0], err)
		}
		return output.Value(p.Out, p.format, raw)
	})
	return cmd
}

// jobName returns the full name of a service, also where the server leaves it out.
func jobName(s client.Service) string {
	if s.JobName != "" {
		return s.JobName
	}
	return strings.Trim(semantic.JobName(s.AppName, s.AppNS, s.Name, s.Namespace), ".")
}

// present returns the instances that are not gone, those included that are being undeployed.
func present(s client.Service) []client.Instance {
	return slices.DeleteFunc(slices.Clone(s.Instances), func(i client.Instance) bool { return i.Status == wire.StateUndeployed })
}

// staying returns the instances that are wanted.
func staying(s client.Service) []client.Instance {
	return slices.DeleteFunc(present(s), func(i client.Instance) bool { return i.Deleting })
}

// settled reports whether an instance is where a deployment wants it.
func settled(i client.Instance) bool {
	return i.Status == wire.StateRunning || i.Status == wire.StateCompleted
}

// running counts the wanted instances that are settled.
func running(s client.Service) int {
	n := 0
	for _, i := range staying(s) {
		if settled(i) {
			n++
		}
	}
	return n
}

func instanceStatus(i client.Instance) string {
	if i.Deleting {
		return "undeploying"
	}
	return string(i.Status)
}

// readiness is what an instance's readiness probe says of it; "-" for one that has none.
func readiness(i client.Instance) string {
	switch {
	case i.Ready == nil:
		return "-"
	case *i.Ready:
		return "yes"
	}
	return "no"
}

// mebibytes writes an amount of memory given in units of 2^20 bytes.
func mebibytes(n int64) string {
	if n >= 10*1024 {
		return fmt.Sprintf("%.1f GiB", float64(n)/1024)
	}
	return fmt.Sprintf("%d MiB", n)
}
