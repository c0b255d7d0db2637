// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oak/output"
)

// repeat is whether and how often a command shows what it shows again.
type repeat struct {
	again    bool
	interval time.Duration
	count    int
}

// leastInterval keeps a command from reading the maps without a pause.
const leastInterval = 100 * time.Millisecond

// addFlags adds the flags to a command and those below it.
func (r *repeat) addFlags(flags *pflag.FlagSet) {
	flags.BoolVarP(&r.again, "watch", "w", false, "show it again and again, until interrupted")
	r.addInterval(flags)
}

// addInterval adds the flags of a command that repeats itself anyhow.
func (r *repeat) addInterval(flags *pflag.FlagSet) {
	flags.DurationVar(&r.interval, "interval", 2*time.Second, "pause between two, at least 100ms")
	flags.IntVar(&r.count, "count", 0, "end after so many; 0: never")
}

func (r *repeat) check() error {
	if r.interval < leastInterval {
		return cmdline.Usagef("--interval %s is too short: use at least %s", r.interval, leastInterval)
	}
	if r.count < 0 {
		return cmdline.Usagef("--count %d is negative: use 0 for no end", r.count)
	}
	return nil
}

// run calls show once, or again and again as the flags say. On a terminal the latest output takes the place of the one before. That
// a person interrupts it is no error.
func (p *program) run(cmd *cobra.Command, r *repeat, show func(io.Writer) error) error {
	if !r.again {
		return show(p.Out)
	}
	if err := r.check(); err != nil {
		return err
	}
	return p.screens(cmd.Context(), r, show)
}

func (p *program) screens(ctx context.Context, r *repeat, show func(io.Writer) error) error {
	ticker := time.NewTicker(r.interval)
	defer ticker.Stop()
	for n := 1; ; n++ {
		var body bytes.Buffer
		if err := show(&body); err != nil {
			return err
		}
		if _, err := fmt.Fprint(p.Out, p.before(n), body.String()); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
		if n == r.count {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// before is what stands before the n-th output: nothing but what sets it apart, so that programs can read them one by one.
func (p *program) before(n int) string {
	switch f, ok := p.Out.(*os.File); {
	case p.format == output.YAML:
		return "---\n"
	case p.format == output.JSON:
		return ""
	case ok && term.IsTerminal(int(f.Fd())):
		return "\x1b[H\x1b[2J" // home, and an empty screen
	case n > 1:
		return "\n"
	}
	return ""
}
