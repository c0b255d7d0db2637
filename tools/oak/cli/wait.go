// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oakestra/oakestra-ebpf/control/client"
	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const (
	// defaultWait leaves time for an image to be pulled over a slow line.
	defaultWait = 2 * time.Minute
	// pollEvery is how often a service that is waited for is read.
	pollEvery = 500 * time.Millisecond
)

// waiting are the flags of commands that can wait.
type waiting struct {
	wait    bool
	timeout time.Duration
}

func (w *waiting) flags(cmd *cobra.Command, help string) {
	cmd.Flags().BoolVar(&w.wait, "wait", false, help+", showing progress; exit code 4 if it takes too long")
	cmd.Flags().DurationVar(&w.timeout, "timeout", defaultWait, "how long to wait")
}

// goal is what is waited for of one service.
type goal struct {
	service client.Service
	// reached says whether the goal is reached, and else what is missing.
	reached func(client.Service) (bool, string)
	// never says why the goal cannot be reached any more, or returns ""; nil for one that always can.
	never func(client.Service) string
}

// allRun is reached when there are at least count instances and all run or have completed.
func allRun(s client.Service, count int) goal {
	return goal{service: s, never: ended, reached: func(now client.Service) (bool, string) {
		wanted := staying(now)
		missing := fmt.Sprintf("%d of %d %s running", running(now), max(count, len(wanted)), plural(count, "instance"))
		for _, i := range wanted {
			if !settled(i) {
				missing += fmt.Sprintf("; instance %d is %s", i.Number, i.Status)
				if i.StatusDetail != "" {
					missing += ": " + i.StatusDetail
				}
			}
		}
		return len(wanted) >= count && running(now) == len(wanted), missing
	}}
}

// ended names an instance that has ended badly and that its restart policy has not started again.
func ended(now client.Service) string {
	for _, i := range staying(now) {
		if i.Status == wire.StateDead {
			return fmt.Sprintf("instance %d is %s: %s", i.Number, i.Status, i.StatusDetail)
		}
	}
	return ""
}

// areGone is reached when none of the instances is there any more.
func areGone(s client.Service, gone []int) goal {
	return goal{service: s, reached: func(now client.Service) (bool, string) {
		var still []string
		for _, i := range present(now) {
			if slices.Contains(gone, i.Number) {
				still = append(still, fmt.Sprintf("instance %d is %s", i.Number, instanceStatus(i)))
			}
		}
		return len(still) == 0, strings.Join(still, "; ")
	}}
}

// await reads the services until every goal is reached, writing each change of an instance, or until the time is up. A root
// that does not answer meanwhile is waited for too.
func (p *program) await(ctx context.Context, c *client.Client, goals []goal, w waiting) error {
	if !w.wait || len(goals) == 0 {
		return nil
	}
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, w.timeout, errTimedOut)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	shown := map[string]string{}
	missing := make([]string, len(goals))
	for {
		done := true
		for i, g := range goals {
			now, err := c.Service(ctx, g.service.ID)
			switch {
			case ctx.Err() != nil:
			case client.IsUnreachable(err) || client.HasStatus(err, http.StatusBadGateway, http.StatusServiceUnavailable):
				p.progress(start, shown, "root", "does not answer for now: "+explainShort(err))
				done = false
				continue
			case err != nil:
				return fmt.Errorf("wait for %s: %w", jobName(g.service), err)
			}
			if ctx.Err() != nil {
				return timedOut(ctx, w.timeout, goals, missing)
			}
			delete(shown, "root")
			for _, instance := range now.Instances {
				p.progress(start, shown, fmt.Sprintf("%s  instance %d", jobName(g.service), instance.Number),
					strings.TrimSpace(fmt.Sprintf("%s  %s", instanceStatus(instance), instance.StatusDetail)))
			}
			if g.never != nil {
				if why := g.never(*now); why != "" {
					return fmt.Errorf("wait for %s: %s", jobName(g.service), why)
				}
			}
			var ok bool
			if ok, missing[i] = g.reached(*now); ok {
				missing[i] = ""
			}
			done = done && ok
		}
		if done {
			p.note("%6.1fs  done", time.Since(start).Seconds())
			return nil
		}
		select {
		case <-ctx.Done():
			return timedOut(ctx, w.timeout, goals, missing)
		case <-ticker.C:
		}
	}
}

// progress writes a line if what it says of a thing is new.
func (p *program) progress(start time.Time, shown map[string]string, thing, text string) {
	if shown[thing] != text {
		shown[thing] = text
		p.note("%6.1fs  %s  %s", time.Since(start).Seconds(), thing, text)
	}
}

var errTimedOut = fmt.Errorf("timed out")

// timedOut returns the error for a wait that ended early.
func timedOut(ctx context.Context, after time.Duration, goals []goal, missing []string) error {
	if context.Cause(ctx) != errTimedOut { //nolint:errorlint // the very cause that await has set
		return ctx.Err()
	}
	lines := []string{fmt.Sprintf("gave up waiting after %s; what was asked for goes on:", after)}
	for i, m := range missing {
		if m != "" {
			lines = append(lines, "  "+jobName(goals[i].service)+": "+m)
		}
	}
	return cmdline.WithCode(ExitTimedOut, fmt.Errorf("%s", strings.Join(lines, "\n")))
}

// explainShort is the first line of an explanation.
func explainShort(err error) string {
	line, _, _ := strings.Cut(explain(err), "\n")
	return line
}
