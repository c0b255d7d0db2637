// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

// maxInstances is how many instances a service may have; the server refuses more.
const maxInstances = 1024

func (p *program) serviceDeploy() *cobra.Command {
	var all bool
	var app string
	var instances int
	var w waiting
	cmd := &cobra.Command{
		Use: "deploy ID|NAME... | --all", Aliases: []string{"d"}, Short: "Deploy an instance of services", Args: cmdline.Args(0, -1),
		Long:              "Deploy one more instance of each service named, or of all, with --all.",
		Example:           "  oak service deploy web --instances 3 --wait\n  oak service deploy --all --app clientsrvr",
		ValidArgsFunction: p.complete(serviceNames),
	}
	cmd.Flags().BoolVar(&all, "all", false, "deploy all services")
	cmd.Flags().StringVarP(&app, "app", "a", "", "with --all: only those of this application, by id or name")
	cmd.Flags().IntVarP(&instances, "instances", "n", 1, "how many instances of each")
	w.flags(cmd, "wait until all instances run")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		switch {
		case all == (len(args) > 0):
			return cmdline.Usagef("name services, or give --all")
		case app != "" && !all:
			return cmdline.Usagef("--app needs --all")
		case instances < 1 || instances > maxInstances:
			return cmdline.Usagef("--instances is %d, has to be from 1 to %d", instances, maxInstances)
		}
		c, err := p.session(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		var targets []target
		if all {
			services, err := allServices(ctx, c, app)
			if err != nil {
				return err
			}
			for _, s := range services {
				targets = append(targets, target{s, instances})
			}
		}
		for _, name := range args {
			s, err := findService(ctx, c, name)
			if err != nil {
				return err
			}
			targets = append(targets, target{*s, instances})
		}
		return p.addInstances(ctx, c, targets, w)
	}
	return cmd
}

// target is a service and how many instances it is to get.
type target struct {
	service client.Service
	add     int
}

// addInstances asks for instances and, if wanted, waits until every instance of the services runs.
func (p *program) addInstances(ctx context.Context, c *client.Client, targets []target, w waiting) error {
	var goals []goal
	for _, t := range targets {
		for range t.add {
			if err := c.AddInstance(ctx, t.service.ID); err != nil {
				return fmt.Errorf("deploy %s: %w", jobName(t.service), err)
			}
		}
		want := len(staying(t.service)) + t.add
		if t.add > 0 {
			p.note("%s: %d %s requested", jobName(t.service), t.add, plural(t.add, "instance"))
		} else if t.service.Replicas != nil {
			want = *t.service.Replicas
		}
		goals = append(goals, allRun(t.service, want))
	}
	return p.await(ctx, c, goals, w)
}

func (p *program) serviceUndeploy() *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "undeploy ID|NAME [INSTANCE]", Aliases: []string{"u"}, Short: "Stop one instance of a service, or all of them", Args: cmdline.Args(1, 2),
		ValidArgsFunction: p.complete(serviceNames),
	}
	w.flags(cmd, "wait until the instances are gone")
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
		if len(present(*s)) == 0 {
			p.note("%s has no instances", jobName(*s))
			return nil
		}
		if err := c.RemoveInstance(ctx, s.ID, number); err != nil {
			return fmt.Errorf("undeploy %s: %w", jobName(*s), err)
		}
		gone := []int{number}
		if number == client.AllInstances {
			gone = numbers(present(*s))
		}
		p.note("%s: %d %s to be stopped", jobName(*s), len(gone), plural(len(gone), "instance"))
		return p.await(ctx, c, []goal{areGone(*s, gone)}, w)
	}
	return cmd
}

func (p *program) serviceScale() *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "scale ID|NAME COUNT", Short: "Say how many instances of a service are kept, or add and remove some",
		Example:           "  oak service scale web 5 --wait\n  oak service scale up web 2",
		ValidArgsFunction: p.complete(serviceNames),
	}
	w.flags(cmd, "wait until exactly so many instances run")
	scale := func(use, short, wait string, run func(context.Context, *client.Client, client.Service, int, waiting) error) *cobra.Command {
		var w waiting
		sub := &cobra.Command{
			Use: use + " ID|NAME [COUNT]", Short: short, Args: cmdline.Args(1, 2),
			ValidArgsFunction: p.complete(serviceNames),
		}
		w.flags(sub, wait)
		sub.RunE = func(cmd *cobra.Command, args []string) error {
			count := 1
			if len(args) == 2 {
				n, err := strconv.Atoi(args[1])
				if err != nil || n < 1 || n > maxInstances {
					return cmdline.Usagef("%q is no count from 1 to %d", args[1], maxInstances)
				}
				count = n
			}
			c, err := p.session(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			s, err := findService(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return run(cmd.Context(), c, *s, count, w)
		}
		return sub
	}
	cmd.AddCommand(
		scale("up", "Add COUNT instances, 1 if not given", "wait until all instances run",
			func(ctx context.Context, c *client.Client, s client.Service, n int, w waiting) error {
				return p.addInstances(ctx, c, []target{{s, n}}, w)
			}),
		scale("down", "Stop the COUNT instances with the highest numbers, 1 if not given", "wait until they are gone", p.scaleDown),
	)
	cmdline.Group(cmd) // for whoever calls it without anything
	help := cmd.RunE
	cmd.Args = cmdline.Args(0, 2)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return help(cmd, args)
		case 1:
			return cmdline.Usagef("how many instances of %s are to be kept? see `%s --help`", args[0], cmd.CommandPath())
		}
		return p.scaleTo(cmd.Context(), args[0], args[1], w)
	}
	return cmd
}

func (p *program) scaleDown(ctx context.Context, c *client.Client, s client.Service, count int, w waiting) error {
	wanted := numbers(staying(s))
	if count > len(wanted) {
		return fmt.Errorf("scale down %s: it has %d %s, not %d", jobName(s), len(wanted), plural(len(wanted), "instance"), count)
	}
	gone := wanted[:count]
	for _, n := range gone {
		if err := c.RemoveInstance(ctx, s.ID, n); err != nil && !client.HasStatus(err, 404) {
			return fmt.Errorf("scale down %s: stop instance %d: %w", jobName(s), n, err)
		}
	}
	p.note("%s: %d %s to be stopped", jobName(s), count, plural(count, "instance"))
	return p.await(ctx, c, []goal{areGone(s, gone)}, w)
}

// numbers returns the numbers of instances, highest first.
func numbers(instances []client.Instance) []int {
	var out []int
	for _, i := range instances {
		out = append(out, i.Number)
	}
	slices.SortFunc(out, func(a, b int) int { return cmp.Compare(b, a) })
	return out
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}
