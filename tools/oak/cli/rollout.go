// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/sla"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

func (p *program) serviceUpdate() *cobra.Command {
	var file, image string
	var w waiting
	cmd := &cobra.Command{
		Use: "update ID|NAME -f FILE | --image IMAGE", Short: "Change a service while it runs", Args: cmdline.Args(1, 1),
		Long: `Change a service's descriptor. Its instances change over as the descriptor's update strategy says, some at a time, and back by
themselves if they do not become ready. Names, namespaces and addresses stay.`,
		Example:           "  oak service update web --image registry.example/web:2 --wait\n  oak service update web -f app.yaml",
		ValidArgsFunction: p.complete(serviceNames),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "new descriptor: of the microservice, or of an application that has it; - is standard input")
	cmd.Flags().StringVar(&image, "image", "", "change the image alone")
	w.flags(cmd, "wait until all instances have changed over")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (file == "") == (image == "") {
			return cmdline.Usagef("give either -f FILE or --image IMAGE")
		}
		ctx := cmd.Context()
		var body []byte
		var err error
		if file != "" {
			if body, err = p.readDescriptor(nil, file); err != nil {
				return err
			}
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
		if file != "" {
			body, err = microserviceOf(body, *s)
		} else {
			body, err = withImage(ctx, c, s.ID, image)
		}
		if err != nil {
			return fmt.Errorf("update %s: %w", jobName(*s), err)
		}
		done, err := c.UpdateService(ctx, s.ID, body)
		if err != nil {
			return fmt.Errorf("update %s: %w", jobName(*s), err)
		}
		return p.updated(ctx, c, *s, done, w)
	}
	return cmd
}

// microserviceOf takes the service's part out of a descriptor that has more.
func microserviceOf(body []byte, s client.Service) ([]byte, error) {
	var d struct {
		Applications []struct {
			Name          string            `json:"application_name"`
			Namespace     string            `json:"application_namespace"`
			Microservices []json.RawMessage `json:"microservices"`
		} `json:"applications"`
	}
	if err := json.Unmarshal(body, &d); err != nil || d.Applications == nil {
		return body, nil // the server says what is wrong with it, if anything
	}
	for _, a := range d.Applications {
		for _, raw := range a.Microservices {
			var m sla.Microservice
			if json.Unmarshal(raw, &m) == nil && a.Name == s.AppName && a.Namespace == s.AppNS && m.Name == s.Name && m.Namespace == s.Namespace {
				return raw, nil
			}
		}
	}
	return nil, fmt.Errorf("the descriptor has no microservice %s", jobName(s))
}

func withImage(ctx context.Context, c *client.Client, id client.ID, image string) ([]byte, error) {
	raw, err := c.RawService(ctx, id)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("read service: %w", err)
	}
	if fields["code"], err = json.Marshal(image); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// updated tells what a change does, and waits for that if wanted.
func (p *program) updated(ctx context.Context, c *client.Client, s client.Service, done client.Updated, w waiting) error {
	if !done.Changed {
		p.note("%s: nothing changed, revision %d stays", jobName(s), done.Revision)
		return nil
	}
	p.note("%s: revision %d", jobName(s), done.Revision)
	if !w.wait {
		return nil
	}
	return p.awaitRollout(ctx, c, s, done.Revision, w.timeout)
}

// awaitRollout waits until the instances of a service are of a revision.
func (p *program) awaitRollout(ctx context.Context, c *client.Client, s client.Service, revision int, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimedOut)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	start, last := time.Now(), client.Rollout{}
	for {
		now, err := c.Rollout(ctx, s.ID)
		switch {
		case ctx.Err() != nil:
			return timedOut(ctx, timeout, []goal{{service: s}}, []string{last.Detail})
		case client.IsUnreachable(err) || client.HasStatus(err, 502, 503):
		case err != nil:
			return fmt.Errorf("wait for %s: %w", jobName(s), err)
		default:
			if now.Detail != last.Detail {
				p.note("%6.1fs  %s  %s", time.Since(start).Seconds(), jobName(s), now.Detail)
			}
			last = *now
			switch {
			case now.RollingBack && now.Revision > revision:
				return fmt.Errorf("update %s: revision %d failed and is taken back: %s", jobName(s), revision, now.Detail)
			case now.Revision > revision:
				return fmt.Errorf("update %s: revision %d was overtaken by revision %d", jobName(s), revision, now.Revision)
			case now.State == client.RolloutFailed:
				return fmt.Errorf("update %s: %s", jobName(s), now.Detail)
			case now.State == client.RolloutComplete:
				p.note("%6.1fs  done", time.Since(start).Seconds())
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return timedOut(ctx, timeout, []goal{{service: s}}, []string{last.Detail})
		case <-ticker.C:
		}
	}
}

func (p *program) serviceRollback() *cobra.Command {
	var revision int
	var w waiting
	cmd := &cobra.Command{
		Use: "rollback ID|NAME", Short: "Go back to an earlier descriptor of a service", Args: cmdline.Args(1, 1),
		ValidArgsFunction: p.complete(serviceNames),
	}
	cmd.Flags().IntVar(&revision, "to", 0, "the revision to go back to (see oak service history); the one before the present one if not given")
	w.flags(cmd, "wait until all instances have changed over")
	run := p.connected(func(ctx context.Context, c *client.Client, args []string) error {
		s, err := findService(ctx, c, args[0])
		if err != nil {
			return err
		}
		done, err := c.RollbackService(ctx, s.ID, revision)
		if err != nil {
			return fmt.Errorf("roll back %s: %w", jobName(*s), err)
		}
		return p.updated(ctx, c, *s, done, w)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if revision < 0 {
			return cmdline.Usagef("--to is %d, has to be a revision from 1", revision)
		}
		return run(cmd, args)
	}
	return cmd
}

func (p *program) serviceHistory() *cobra.Command {
	cmd := &cobra.Command{
		Use: "history ID|NAME", Short: "List the descriptors that a service has had", Args: cmdline.Args(1, 1),
		ValidArgsFunction: p.complete(serviceNames),
	}
	cmd.RunE = p.connected(func(ctx context.Context, c *client.Client, args []string) error {
		s, err := findService(ctx, c, args[0])
		if err != nil {
			return err
		}
		list, err := c.Revisions(ctx, s.ID)
		if err != nil {
			return fmt.Errorf("list revisions of %s: %w", jobName(*s), err)
		}
		return output.List(p.Out, p.Err, p.format, list, []output.Column[client.Revision]{
			{Name: "REVISION", Value: func(r client.Revision) string {
				return strconv.Itoa(r.Revision) + map[bool]string{true: " (current)"}[r.Current]
			}},
			{Name: "WHEN", Value: func(r client.Revision) string { return when(r.CreatedAt) }},
			{Name: "BY", Value: func(r client.Revision) string { return cmp.Or(r.CreatedBy, "root") }},
			{Name: "IMAGE", Value: func(r client.Revision) string {
				var m sla.Microservice
				_ = json.Unmarshal(r.Descriptor, &m)
				return m.Code
			}},
			{Name: "CAUSE", Value: func(r client.Revision) string { return r.Cause }},
		})
	})
	return cmd
}

func (p *program) serviceRollout() *cobra.Command {
	cmd := &cobra.Command{Use: "rollout", Short: "See how a change of a service comes along"}
	status := &cobra.Command{
		Use: "status ID|NAME", Short: "Tell how far a service's instances are on the way to its descriptor", Args: cmdline.Args(1, 1),
		ValidArgsFunction: p.complete(serviceNames),
	}
	var w waiting
	w.flags(status, "wait until all instances have changed over")
	status.RunE = p.connected(func(ctx context.Context, c *client.Client, args []string) error {
		s, err := findService(ctx, c, args[0])
		if err != nil {
			return err
		}
		now, err := c.Rollout(ctx, s.ID)
		if err != nil {
			return fmt.Errorf("ask for the rollout of %s: %w", jobName(*s), err)
		}
		if w.wait {
			return p.awaitRollout(ctx, c, *s, now.Revision, w.timeout)
		}
		if p.format.Data() {
			return output.Value(p.Out, p.format, now)
		}
		return p.printRollout(*s, now)
	})
	cmd.AddCommand(status)
	cmdline.Group(cmd)
	return cmd
}

func (p *program) printRollout(s client.Service, r *client.Rollout) error {
	kept := "-"
	if r.Replicas != nil {
		kept = strconv.Itoa(*r.Replicas)
	}
	rows := [][2]string{
		{"SERVICE", jobName(s)},
		{"REVISION", strconv.Itoa(r.Revision)},
		{"STATE", strings.TrimSuffix(r.State+": "+r.Detail, ": ")},
		{"REPLICAS", kept},
		{"INSTANCES", fmt.Sprintf("%d, %d updated, %d available", r.Instances, r.Updated, r.Available)},
	}
	if r.Problem != "" {
		rows = append(rows, [2]string{"PROBLEM", r.Problem})
	}
	for _, row := range rows {
		if _, err := fmt.Fprintf(p.Out, "%-10s %s\n", row[0], row[1]); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintln(p.Out)
	return output.List(p.Out, p.Err, p.format, r.Events, []output.Column[client.ServiceEvent]{
		{Name: "WHEN", Value: func(e client.ServiceEvent) string { return when(e.At) }},
		{Name: "EVENT", Value: func(e client.ServiceEvent) string { return e.Kind }},
		{Name: "REVISION", Value: func(e client.ServiceEvent) string { return strconv.Itoa(e.Revision) }},
		{Name: "DETAIL", Value: func(e client.ServiceEvent) string { return e.Detail }},
	})
}

// scaleTo sets how many instances are kept of a service.
func (p *program) scaleTo(ctx context.Context, name, count string, w waiting) error {
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > sla.MaxReplicas {
		return cmdline.Usagef("%q is no number of instances from 0 to %d", count, sla.MaxReplicas)
	}
	c, err := p.session(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := findService(ctx, c, name)
	if err != nil {
		return err
	}
	if err := c.ScaleService(ctx, s.ID, n); err != nil {
		return fmt.Errorf("scale %s: %w", jobName(*s), err)
	}
	p.note("%s: %d %s kept from now on", jobName(*s), n, plural(n, "instance"))
	return p.await(ctx, c, []goal{areKept(*s, n)}, w)
}

// areKept is reached when there are exactly so many instances and all run or have completed.
func areKept(s client.Service, count int) goal {
	all := allRun(s, count)
	return goal{service: s, reached: func(now client.Service) (bool, string) {
		ok, missing := all.reached(now)
		return ok && len(present(now)) == count, missing
	}}
}
