// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/testbed"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
)

// complaint matches a line of a log that tells of something wrong: slog's levels in both forms, Go's and Postgres's last words.
var complaint = regexp.MustCompile(`level=(ERROR|WARN)|"level":"(ERROR|WARN)"|^panic:|^fatal error:|^[a-zA-Z-]+: .*(fail|error|refus|cannot)|FATAL:|PANIC:`)

// diagnose says which step failed, where to read on, and what is the likely cause.
func (d *demo) diagnose(s step, after time.Duration, err error) error {
	var b strings.Builder
	fmt.Fprintf(&b, "step %q failed after %.1f s: %v", s.name, after.Seconds(), err)
	logs := testbed.LogFiles(d.o.Testbed.Dir, s.logs)
	fmt.Fprintf(&b, "\n  logs:")
	for _, l := range logs {
		fmt.Fprintf(&b, "\n    %s", l)
	}
	if causes := append(dead(), complaints(logs, time.Now().Add(-after))...); len(causes) > 0 {
		fmt.Fprintf(&b, "\n  likely cause:\n    %s", strings.Join(causes, "\n    "))
	} else {
		b.WriteString("\n  likely cause: no log complains; what the step itself says above is all there is")
	}
	d.kernel(&b)
	return errors.New(b.String())
}

// kernel adds what the workers' maps say of one another and of lost packets: what no log tells.
func (d *demo) kernel(b *strings.Builder) {
	if d.scene == nil {
		return // nothing has been started
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // the step's own may be over
	defer cancel()
	for _, w := range d.scene.Testbed.Hosts(testbed.RoleWorker) {
		for _, what := range []string{"node", "drop"} {
			if out, err := d.scene.OakNet(ctx, w.Name, what); err == nil {
				fmt.Fprintf(b, "\n  oak-net %s on %s:\n%s", what, w.Name, indent(out))
			}
		}
	}
}

// dead names the components that have ended although nobody has asked them to.
func dead() []string {
	all, err := testbed.Components()
	if err != nil {
		return nil // no testbed: the step itself says why
	}
	var names []string
	for _, c := range all {
		if c.Process.State() == proc.Dead {
			names = append(names, c.String()+" has ended; see "+c.Spec.Log)
		}
	}
	return names
}

// stamp matches the time in front of a line that slog has written, in either form.
var stamp = regexp.MustCompile(`^(?:time=|\{"time":")([0-9T:.Z+-]+)`)

// complaints returns the last two complaints of each log since the failed step began.
func complaints(logs []string, since time.Time) []string {
	const each, width = 2, 400
	var all []string
	for _, l := range logs {
		var last []string
		f, err := os.Open(l)
		if err != nil {
			continue // never started
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if t := lines.Text(); complaint.MatchString(t) && !before(t, since) {
				last = append(last[max(0, len(last)-each+1):], t[:min(len(t), width)])
			}
		}
		_ = f.Close()
		for _, t := range last {
			all = append(all, l[strings.LastIndexByte(l, '/')+1:]+": "+t)
		}
	}
	return all
}

// before reports whether a line says that it was written before a time.
func before(line string, since time.Time) bool {
	m := stamp.FindStringSubmatch(line)
	if m == nil {
		return false
	}
	at, err := time.Parse(time.RFC3339Nano, m[1])
	return err == nil && at.Before(since)
}
