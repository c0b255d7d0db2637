// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

func (p *program) clusterCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cluster", Aliases: []string{"cl"}, Short: "Look at clusters"}
	cmd.AddCommand(p.clusterList(), p.clusterInfo())
	cmdline.Group(cmd)
	return cmd
}

func (p *program) clusterList() *cobra.Command {
	var active bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls", "l"}, Short: "List clusters", Args: cmdline.Args(0, 0),
	}
	cmd.Flags().BoolVar(&active, "active", false, "only those that have reported lately")
	watched(cmd, func(ctx context.Context, w io.Writer) error {
		c, err := p.session(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		all, err := c.Clusters(ctx)
		if err != nil {
			return fmt.Errorf("list clusters: %w", err)
		}
		var shown []client.Cluster
		for _, k := range all {
			if k.Active || !active {
				shown = append(shown, k)
			}
		}
		return p.printClusters(w, shown)
	}, p)
	return cmd
}

func (p *program) printClusters(w io.Writer, clusters []client.Cluster) error {
	return output.List(w, p.Err, p.format, clusters, []output.Column[client.Cluster]{
		{Name: "ID", Value: func(k client.Cluster) string { return string(k.ID) }},
		{Name: "NAME", Value: func(k client.Cluster) string { return k.Name }},
		{Name: "STATUS", Value: status},
		{Name: "WORKERS", Value: func(k client.Cluster) string { return strconv.Itoa(workers(k)) }},
		{Name: "INSTANCES", Value: func(k client.Cluster) string { return strconv.Itoa(k.Instances) }},
		{Name: "CPU", Value: func(k client.Cluster) string { return fmt.Sprintf("%.0f%%", k.Aggregate.CPUPercent) }},
		{Name: "MEMORY", Value: func(k client.Cluster) string { return fmt.Sprintf("%.0f%%", k.Aggregate.MemoryPercent) }},
		{Name: "ADDONS", Wide: true, Value: func(k client.Cluster) string { return strings.Join(k.Aggregate.Addons, ",") }},
		{Name: "VOLUMES", Wide: true, Value: func(k client.Cluster) string { return strings.Join(k.Aggregate.VolumeDrivers, ",") }},
		{Name: "LAST-REPORT", Wide: true, Value: func(k client.Cluster) string { return when(k.LastReport) }},
		{Name: "LOCATION", Value: func(k client.Cluster) string { return k.Location }},
	})
}

func (p *program) clusterInfo() *cobra.Command {
	return &cobra.Command{
		Use: "info ID|NAME", Aliases: []string{"i"}, Short: "Show one cluster and what its workers have", Args: cmdline.Args(1, 1),
		ValidArgsFunction: p.complete(clusterNames),
		RunE: p.connected(func(ctx context.Context, c *client.Client, args []string) error {
			k, err := findCluster(ctx, c, args[0])
			if err != nil {
				return err
			}
			if p.format.Data() {
				return output.Value(p.Out, p.format, k)
			}
			if err := p.printClusters(p.Out, []client.Cluster{*k}); err != nil {
				return err
			}
			_, _ = fmt.Fprintln(p.Out)
			return p.printCapacity(p.Out, groups([]client.Cluster{*k}))
		}),
	}
}

// workerGroup is a line of `oak worker capacity`: what a cluster tells of its workers of one architecture and runtime.
type workerGroup struct {
	Cluster string `json:"cluster"`
	wire.AggregateGroup
}

func (p *program) workerCapacity() *cobra.Command {
	var cluster string
	list := &cobra.Command{
		Use: "capacity", Short: "List what the workers of each cluster have", Args: cmdline.Args(0, 0),
		Long: `List the workers of each cluster, summed by architecture and runtime; a worker with several runtimes counts in several
lines. LARGEST is the largest free slot of a single worker.`,
	}
	list.Flags().StringVar(&cluster, "cluster", "", "only those of this cluster, by id or name")
	watched(list, func(ctx context.Context, w io.Writer) error {
		c, err := p.session(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		if cluster != "" {
			k, err := findCluster(ctx, c, cluster)
			if err != nil {
				return err
			}
			return p.printCapacity(w, groups([]client.Cluster{*k}))
		}
		all, err := c.Clusters(ctx)
		if err != nil {
			return fmt.Errorf("list clusters: %w", err)
		}
		return p.printCapacity(w, groups(all))
	}, p)
	return list
}

func groups(clusters []client.Cluster) []workerGroup {
	var out []workerGroup
	for _, k := range clusters {
		for _, g := range k.Aggregate.Groups {
			out = append(out, workerGroup{k.Name, g})
		}
	}
	return out
}

func (p *program) printCapacity(w io.Writer, rows []workerGroup) error {
	return output.List(w, p.Err, p.format, rows, []output.Column[workerGroup]{
		{Name: "CLUSTER", Value: func(g workerGroup) string { return g.Cluster }},
		{Name: "ARCH", Value: func(g workerGroup) string { return g.Architecture }},
		{Name: "RUNTIME", Value: func(g workerGroup) string { return g.Runtime }},
		{Name: "WORKERS", Value: func(g workerGroup) string { return strconv.Itoa(g.Workers) }},
		{Name: "VCPUS FREE", Value: func(g workerGroup) string { return fmt.Sprintf("%g of %g", g.Free.VCPUs, g.Capacity.VCPUs) }},
		{Name: "MEMORY FREE", Value: func(g workerGroup) string {
			return mebibytes(g.Free.MemoryMB) + " of " + mebibytes(g.Capacity.MemoryMB)
		}},
		{Name: "STORAGE FREE", Wide: true, Value: func(g workerGroup) string {
			return mebibytes(g.Free.StorageMB) + " of " + mebibytes(g.Capacity.StorageMB)
		}},
		{Name: "GPUS FREE", Wide: true, Value: func(g workerGroup) string { return fmt.Sprintf("%d of %d", g.Free.GPUs, g.Capacity.GPUs) }},
		{Name: "LARGEST", Value: func(g workerGroup) string {
			return fmt.Sprintf("%g vCPUs, %s", g.Largest.VCPUs, mebibytes(g.Largest.MemoryMB))
		}},
	})
}

func status(k client.Cluster) string {
	switch {
	case k.Active:
		return "active"
	case k.LastReport.IsZero():
		return "never reported"
	}
	return "inactive"
}

// workers counts a cluster's workers. One with several runtimes is in several groups, so the largest runtime of each
// architecture counts: a lower bound, exact where all workers of an architecture share a runtime.
func workers(k client.Cluster) int {
	most := map[string]int{}
	for _, g := range k.Aggregate.Groups {
		most[g.Architecture] = max(most[g.Architecture], g.Workers)
	}
	sum := 0
	for _, n := range most {
		sum += n
	}
	return sum
}

func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format(time.DateTime)
}
