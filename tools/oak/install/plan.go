// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"fmt"
	"io"
)

// step is one change of the machine.
type step struct {
	// say is the change as a shell would be told to make it.
	say string
	// do makes it. It reports false if everything was that way already.
	do func(ctx context.Context) (changed bool, err error)
}

// plan is what is going to be done, in this order, and what people are to know afterwards.
type plan struct {
	steps []step
	notes []string
}

func (p *plan) add(say string, do func(ctx context.Context) (bool, error)) {
	p.steps = append(p.steps, step{say, do})
}

func (p *plan) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

// run carries the plan out and tells of each step; with dry it only tells.
func (p *plan) run(ctx context.Context, out io.Writer, dry bool) error {
	for _, s := range p.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if dry {
			_, _ = fmt.Fprintln(out, s.say)
			continue
		}
		changed, err := s.do(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", s.say, err)
		}
		if !changed {
			_, _ = fmt.Fprintln(out, s.say, "   # is so already")
			continue
		}
		_, _ = fmt.Fprintln(out, s.say)
	}
	if dry {
		_, _ = fmt.Fprintln(out, "# nothing was done")
		return nil
	}
	for _, n := range p.notes {
		_, _ = fmt.Fprintln(out, n)
	}
	return nil
}
