// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// Options say what to show.
type Options struct {
	// Testbed is the testbed to start; one cluster of two workers.
	Testbed testbed.Options
	// Descriptor is the file to deploy.
	Descriptor string
	// Out is where the story is told.
	Out io.Writer
}

// demo is one telling.
type demo struct {
	o     Options
	scene *scene.Scene
	home  string
	costs []cost
}

// cost is how long a step took.
type cost struct {
	step string
	took time.Duration
}

// Run tells the story and takes everything down, whatever happens. It returns nil only if every step held.
func Run(ctx context.Context, o Options) (err error) {
	home, err := os.MkdirTemp("", "oak-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for oak's configuration: %w", err)
	}
	defer func() { _ = os.RemoveAll(home) }()
	d := &demo{o: o, home: home}
	defer func() {
		if down := d.down(ctx); err == nil {
			err = down
		}
		if err == nil {
			d.table()
		}
	}()
	for _, s := range d.steps() {
		if err := d.step(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// step is one part of the story.
type step struct {
	name string
	// logs are the components, COMPONENT@HOST, whose logs tell most if the step fails.
	logs []string
	do   func(context.Context) error
}

// stepTimeout bounds each step; the longest, the start of the testbed, takes some seconds.
const stepTimeout = 3 * time.Minute

func (d *demo) step(ctx context.Context, s step) error {
	d.say("\n── %s", s.name)
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	start := time.Now()
	if err := s.do(ctx); err != nil {
		return d.diagnose(s, time.Since(start), err)
	}
	d.costs = append(d.costs, cost{s.name, time.Since(start)})
	return nil
}

// down takes the testbed down, even when ctx is over.
func (d *demo) down(ctx context.Context) error {
	d.say("\n── take everything down")
	start := time.Now()
	if err := testbed.Down(context.WithoutCancel(ctx), d.o.Testbed.Dir); err != nil {
		return fmt.Errorf("step \"take everything down\": %w", err)
	}
	d.costs = append(d.costs, cost{"take everything down", time.Since(start)})
	return nil
}

// table shows what each step has cost.
func (d *demo) table() {
	d.say("\n── what each step took")
	var sum time.Duration
	for _, c := range d.costs {
		d.say("  %7.2f s  %s", c.took.Seconds(), c.step)
		sum += c.took
	}
	d.say("  %7.2f s  in all\n\nEvery step held.", sum.Seconds())
}

// say writes a line; a reader that has gone changes nothing.
func (d *demo) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.o.Out, format+"\n", args...)
}
