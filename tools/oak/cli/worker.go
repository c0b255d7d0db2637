// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

func (p *program) workerCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "worker", Aliases: []string{"w"}, Short: "Look at workers, as far as clusters tell of them, and take them out of use"}
	cmd.AddCommand(p.workerList(), p.workerShow(), p.workerCapacity(), p.workerMode("cordon", wire.WorkerCordoned), p.workerMode("uncordon", wire.WorkerOpen), p.workerDrain())
	cmdline.Group(cmd)
	return cmd
}

func (p *program) workerList() *cobra.Command {
	var cluster string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls", "l"}, Short: "List workers, for administrators", Args: cmdline.Args(0, 0),
		Long: `List the workers of all clusters that tell of them. It is for administrators; what workers have, summed by cluster, shows
to everybody: oak worker capacity.`,
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "only those of this cluster, by id or name")
	watched(cmd, func(ctx context.Context, w io.Writer) error {
		c, err := p.session(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		all, err := c.Workers(ctx)
		if cluster != "" {
			k, lookup := findCluster(ctx, c, cluster)
			if lookup != nil {
				return lookup
			}
			all, err = c.WorkersOf(ctx, k.ID)
		}
		if err != nil {
			return fmt.Errorf("list workers: %w", err)
		}
		return p.printWorkers(w, all)
	}, p)
	return cmd
}

func (p *program) printWorkers(w io.Writer, list []client.Worker) error {
	return output.List(w, p.Err, p.format, list, []output.Column[client.Worker]{
		{Name: "ID", Value: func(k client.Worker) string { return k.ID }},
		{Name: "NAME", Value: func(k client.Worker) string { return k.Name }},
		{Name: "CLUSTER", Value: func(k client.Worker) string { return k.ClusterName }},
		{Name: "STATUS", Value: workerStatus},
		{Name: "INSTANCES", Value: func(k client.Worker) string { return strconv.Itoa(k.Instances + k.Leaving) }},
		{Name: "ARCH", Value: func(k client.Worker) string { return k.Architecture }},
		{Name: "VCPUS FREE", Value: func(k client.Worker) string { return fmt.Sprintf("%g of %g", k.Free.VCPUs, k.Capacity.VCPUs) }},
		{Name: "MEMORY FREE", Value: func(k client.Worker) string {
			return mebibytes(k.Free.MemoryMB) + " of " + mebibytes(k.Capacity.MemoryMB)
		}},
		{Name: "CPU", Value: func(k client.Worker) string { return fmt.Sprintf("%.0f%%", k.CPUPercent) }},
		{Name: "MEMORY", Wide: true, Value: func(k client.Worker) string { return fmt.Sprintf("%.0f%%", k.MemoryPercent) }},
		{Name: "DISK", Wide: true, Value: func(k client.Worker) string { return fmt.Sprintf("%.0f%%", k.DiskPercent) }},
		{Name: "VERSION", Wide: true, Value: func(k client.Worker) string { return k.Version }},
		{Name: "AS-OF", Wide: true, Value: func(k client.Worker) string { return when(k.AsOf) }},
		{Name: "REASON", Value: func(k client.Worker) string { return k.Reason }},
	})
}

// workerStatus is what kubectl's users look for: how a worker is and, behind a comma, what it is to be used for.
func workerStatus(k client.Worker) string {
	mode := k.Mode
	if k.Wanted != nil && !k.Wanted.Taken {
		mode = k.Wanted.Mode + " (ordered)"
	}
	switch {
	case mode == wire.WorkerOpen || mode == "":
		return k.Status
	case k.Mode == wire.WorkerDrained && k.Instances+k.Leaving > 0:
		return k.Status + ",draining"
	}
	return k.Status + "," + string(mode)
}

func (p *program) workerShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID|NAME", Aliases: []string{"s", "info"}, Short: "Show one worker", Args: cmdline.Args(1, 1),
		ValidArgsFunction: p.complete(workerNames),
		RunE: p.connected(func(ctx context.Context, c *client.Client, args []string) error {
			k, err := findWorker(ctx, c, args[0])
			if err != nil {
				return err
			}
			if p.format.Data() {
				return output.Value(p.Out, p.format, k)
			}
			return p.printWorkers(p.Out, []client.Worker{*k})
		}),
	}
}

// findWorker returns the worker that an id or a name means.
func findWorker(ctx context.Context, c *client.Client, wanted string) (*client.Worker, error) {
	all, err := c.Workers(ctx)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	return pick("worker", wanted, all, "oak worker list", func(k client.Worker) []string {
		return []string{k.ID, k.Name, k.ClusterName + "/" + k.Name}
	})
}

func workerNames(ctx context.Context, c *client.Client) (names []string) {
	all, err := c.Workers(ctx)
	if err != nil {
		return nil
	}
	for _, k := range all {
		names = append(names, k.Name)
	}
	return names
}

// orderFlags are the flags of commands that wait for the cluster to have done what was ordered.
type orderFlags struct {
	reason  string
	timeout time.Duration
	detach  bool
}

func (f *orderFlags) add(cmd *cobra.Command, timeout time.Duration, until string) {
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for others to read")
	cmd.Flags().DurationVar(&f.timeout, "timeout", timeout, "how long to wait "+until)
	cmd.Flags().BoolVar(&f.detach, "detach", false, "do not wait")
}

func (p *program) workerMode(name string, mode wire.WorkerMode) *cobra.Command {
	var f orderFlags
	short := map[wire.WorkerMode]string{
		wire.WorkerCordoned: "Have a worker take nothing new; what it has stays",
		wire.WorkerOpen:     "Have a worker take instances again",
	}
	cmd := &cobra.Command{
		Use: name + " ID|NAME", Short: short[mode], Args: cmdline.Args(1, 1), ValidArgsFunction: p.complete(workerNames),
		RunE: p.connected(func(ctx context.Context, c *client.Client, args []string) error {
			return p.order(ctx, c, args[0], mode, f, func(*client.Worker) bool { return true })
		}),
	}
	f.add(cmd, 30*time.Second, "for its cluster to know")
	return cmd
}

func (p *program) workerDrain() *cobra.Command {
	var f orderFlags
	cmd := &cobra.Command{
		Use: "drain ID|NAME", Short: "Have a worker's instances go to others, each once it serves there", Args: cmdline.Args(1, 1),
		Long: `Have a worker take nothing new and hand over what it has: an instance stops there once it serves on another worker, and stays
as long as none can take it. One-shots end where they are. The worker can be stopped when the command returns; ` + "`oak worker uncordon`" + ` opens it again.`,
		ValidArgsFunction: p.complete(workerNames),
		RunE: p.connected(func(ctx context.Context, c *client.Client, args []string) error {
			return p.order(ctx, c, args[0], wire.WorkerDrained, f, func(k *client.Worker) bool { return k.Instances+k.Leaving == 0 })
		}),
	}
	f.add(cmd, 10*time.Minute, "for it to be empty; what was ordered goes on")
	return cmd
}

// orderEvery is how often it is asked how far a worker is.
const orderEvery = 2 * time.Second

// order says what a worker is to be used for, and waits until its cluster has the order and the worker is as done wants it.
func (p *program) order(ctx context.Context, c *client.Client, wanted string, mode wire.WorkerMode, f orderFlags, done func(*client.Worker) bool) error {
	k, err := findWorker(ctx, c, wanted)
	if err != nil {
		return err
	}
	if k, err = c.SetWorkerMode(ctx, k.ID, mode, f.reason); err != nil {
		return fmt.Errorf("order worker %s to be %s: %w", wanted, mode, err)
	}
	deadline := time.Now().Add(f.timeout)
	left := -1
	for !f.detach {
		now, err := c.Worker(ctx, k.ID)
		if err == nil {
			k = now
			if k.Wanted != nil && k.Wanted.Taken && k.Mode == mode && done(k) {
				break
			}
		} else if !client.HasStatus(err, 504) {
			return fmt.Errorf("look at worker %s: %w", wanted, err)
		}
		if n := k.Instances + k.Leaving; mode == wire.WorkerDrained && n != left && !p.format.Data() {
			left = n
			p.note("%s: instances left: %d", cmp.Or(k.Name, k.ID), n)
		}
		if time.Now().After(deadline) {
			return cmdline.WithCode(ExitTimedOut, fmt.Errorf("gave up waiting after %s; what was ordered goes on: worker %s is %s and has instances: %d",
				f.timeout, wanted, workerStatus(*k), k.Instances+k.Leaving))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(orderEvery):
		}
	}
	if p.format.Data() {
		return output.Value(p.Out, p.format, k)
	}
	return p.printWorkers(p.Out, []client.Worker{*k})
}
