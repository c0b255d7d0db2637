// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

// defaultTimeout bounds one check.
const defaultTimeout = 10 * time.Second

// ErrNothing is returned where no role was asked for and this machine shows none.
var ErrNothing = errors.New("nothing of Oakestra runs or is configured here: say what this machine is to be, `oak doctor worker`, `oak doctor cluster` or `oak doctor root`")

// Options say what to examine.
type Options struct {
	// Roles are those to examine the machine for; empty for those that it shows.
	Roles []Role
	// Settings take the place of what the programs here are told, by the names of [Flags].
	Settings map[string]string
	// Timeout bounds one check; 0 is 10 s.
	Timeout time.Duration
}

// examination is one thing that is looked at.
type examination struct {
	name  string
	looks string // what at, for README.md
	roles []Role
	// files says that it looks into a program's files, and memory of this machine: it is left out for a program in a container.
	files bool
	run   func(context.Context, *machine, *collector)
}

// checks lists all of them.
func checks() []examination {
	return slices.Concat(hostChecks(), networkChecks(), neighbourChecks())
}

// Examine runs every check of the roles, side by side.
func Examine(ctx context.Context, o Options) (Report, error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	running, err := programs()
	if err != nil {
		return Report{}, err
	}
	roles := o.Roles
	if len(roles) == 0 {
		if roles = shown(running); len(roles) == 0 {
			return Report{}, ErrNothing
		}
	}
	var tasks []func() taskResult
	for _, role := range Roles() {
		if !slices.Contains(roles, role) {
			continue
		}
		m := newMachine(role, running, o.Settings)
		for _, c := range checks() {
			if slices.Contains(c.roles, role) {
				tasks = append(tasks, func() taskResult { return perform(ctx, c, m, o.Timeout) })
			}
		}
	}
	results := make([]taskResult, len(tasks))
	var wg sync.WaitGroup
	for i, t := range tasks {
		wg.Go(func() { results[i] = t() })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	return gather(results), nil
}

type taskResult struct {
	outcome  Outcome
	findings []Finding
}

// perform runs one check, and leaves it alone where it is not done in time.
func perform(ctx context.Context, c examination, m *machine, timeout time.Duration) taskResult {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	began := time.Now()
	if c.files && m.contained {
		return taskResult{outcome: Outcome{Check: c.name, Role: m.role, State: Skipped, Detail: "it runs in a container, whose files are its own"}}
	}
	done := make(chan *collector, 1)
	go func() {
		found := &collector{role: m.role, check: c.name}
		c.run(ctx, m, found)
		done <- found
	}()
	// What asks the kernel, or a file system that hangs, may not hear of ctx.
	grace := time.NewTimer(timeout + time.Second)
	defer grace.Stop()
	var found *collector
	select {
	case found = <-done:
	case <-grace.C:
		found = &collector{role: m.role, check: c.name}
		found.found("check-timed-out", nil, "the check %q has not ended within %s", c.name, timeout)
	}
	return taskResult{found.outcome(time.Since(began)), found.findings}
}

// gather leaves out what follows from other findings and puts errors first.
func gather(results []taskResult) Report {
	r := Report{Checks: []Outcome{}, Findings: []Finding{}}
	var all []Finding
	for _, t := range results {
		r.Checks = append(r.Checks, t.outcome)
		all = append(all, t.findings...)
	}
	for _, f := range all {
		follows := slices.ContainsFunc(all, func(cause Finding) bool { return cause.ID != f.ID && kindOf(cause.ID).hides(f.ID) })
		same := slices.ContainsFunc(r.Findings, func(g Finding) bool { return g.ID == f.ID && g.What == f.What })
		if !follows && !same {
			r.Findings = append(r.Findings, f)
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return strings.Compare(string(a.Severity), string(b.Severity)) })
	return r
}
