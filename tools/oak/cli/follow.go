// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
)

func (p *program) eventsCommand() *cobra.Command {
	var follow bool
	var app, service string
	cmd := &cobra.Command{
		Use: "events", Short: "Tell what becomes of instances", Args: cmdline.Args(0, 0),
		Long: `Tell what becomes of the instances that you may see: with --follow what happens from now on, until you interrupt; without, what is known of a service.
With -o json each event is a line.`,
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "tell what happens from now on")
	cmd.Flags().StringVarP(&app, "app", "a", "", "only of this application, by id or name")
	cmd.Flags().StringVarP(&service, "service", "s", "", "only of this service, by id or name")
	cmd.RunE = p.connected(func(ctx context.Context, c *client.Client, _ []string) error {
		f := client.EventFilter{Number: client.AllInstances, Since: -1}
		if !follow && service == "" {
			return cmdline.Usagef("give --follow, or name a --service")
		}
		if app != "" {
			a, err := findApplication(ctx, c, app)
			if err != nil {
				return err
			}
			f.Application = a.ID
		}
		if service != "" {
			s, err := findService(ctx, c, service)
			if err != nil {
				return err
			}
			f.Service = s.ID
			if !follow {
				return p.printEvents(ctx, c, *s, client.AllInstances)
			}
		}
		return p.followEvents(ctx, c, f)
	})
	return cmd
}

// followEvents prints events as they come, until interrupted.
func (p *program) followEvents(ctx context.Context, c *client.Client, f client.EventFilter) error {
	away := false
	err := c.FollowEvents(ctx, f, func(e client.StreamedEvent) error {
		away = false
		return p.printEvent(e)
	}, func(err error) {
		if !away {
			p.note("oak: %s; trying again", explainShort(err))
		}
		away = true
	})
	return interrupted(ctx, err)
}

func (p *program) printEvent(e client.StreamedEvent) error {
	if p.format.Data() {
		line, err := json.Marshal(e)
		if err == nil {
			_, err = fmt.Fprintf(p.Out, "%s\n", line)
		}
		return err
	}
	place := cmp.Or(e.ClusterName, string(e.ClusterID), "-")
	text := fmt.Sprintf("%s  %-30s  %-18s  %-12s  %s", e.At.Local().Format("15:04:05.000"), fmt.Sprintf("%s.%d", e.JobName, e.Number),
		instanceStatus(client.Instance{Status: e.Status, Deleting: e.Deleting}), place, e.Detail)
	_, err := fmt.Fprintln(p.Out, strings.TrimRight(text, " "))
	return err
}
