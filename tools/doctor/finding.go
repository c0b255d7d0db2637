// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Role is what a machine is for.
type Role string

// The roles.
const (
	Root    Role = "root"
	Cluster Role = "cluster"
	Worker  Role = "worker"
)

// Roles lists all roles, from the top down.
func Roles() []Role { return []Role{Root, Cluster, Worker} }

// Severity is how bad a finding is.
type Severity string

// The severities: an error keeps something from working, a warning will, or makes it worse than it could be.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Finding is one thing that is wrong.
type Finding struct {
	// ID is the name of its [Kind].
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	// Role is that of the machine in which it was found, Check the check that did.
	Role  Role   `json:"role"`
	Check string `json:"check"`
	// What is what was found, Why why that matters.
	What string `json:"what"`
	Why  string `json:"why"`
	// Cure are commands to type, one after the other.
	Cure []string `json:"cure"`
}

// How a check ended.
const (
	Held    = "ok"
	Found   = "found"
	Skipped = "skipped"
)

// Outcome is what became of one check.
type Outcome struct {
	Check string `json:"check"`
	Role  Role   `json:"role"`
	// State is [Held], [Found] or [Skipped].
	State string `json:"state"`
	// Detail says what was seen, or why it was not looked at.
	Detail string `json:"detail"`
	// Took is in milliseconds.
	Took int64 `json:"took_ms"`
}

// Report is what a whole examination has shown.
type Report struct {
	Checks   []Outcome `json:"checks"`
	Findings []Finding `json:"findings"`
}

// Kind is a sort of finding.
type Kind struct {
	ID       string
	Severity Severity
	// What, Why and Cure are those of a [Finding], before names and figures are put in: {in braces} in Cure.
	What, Why string
	Cure      []string
	// Hides names kinds that would follow from this one, and are not shown beside it. One that ends in * stands for all that begin so.
	Hides []string
}

// hides reports whether findings of another kind follow from this one.
func (k Kind) hides(id string) bool {
	return slices.ContainsFunc(k.Hides, func(h string) bool {
		prefix, all := strings.CutSuffix(h, "*")
		return h == id || all && strings.HasPrefix(id, prefix)
	})
}

// kindOf returns the kind of that name; its absence is a mistake in this package, which a test looks for.
func kindOf(id string) Kind {
	all := Kinds()
	i := slices.IndexFunc(all, func(k Kind) bool { return k.ID == id })
	if i < 0 {
		return Kind{ID: id, Severity: Error}
	}
	return all[i]
}

// collector gathers what one check sees. It is that check's alone until it has ended.
type collector struct {
	role     Role
	check    string
	notes    []string
	skipped  string
	findings []Finding
}

// note remembers something that is as it should be.
func (c *collector) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// skip says why it cannot be judged.
func (c *collector) skip(format string, args ...any) { c.skipped = fmt.Sprintf(format, args...) }

// fill are the values of braces in a cure, name and value in turn.
type fill []string

// found adds a finding.
func (c *collector) found(id string, values fill, format string, args ...any) {
	k := kindOf(id)
	pairs := make([]string, 0, len(values))
	for i, v := range values {
		if i%2 == 0 {
			v = "{" + v + "}"
		} else if values[i-1] == "program" {
			pairs = append(pairs, v, "{unit}")
			v = strings.ToLower(v) // of systemd
		}
		pairs = append(pairs, v)
	}
	cure := make([]string, 0, len(k.Cure))
	replace := strings.NewReplacer(pairs...)
	for _, line := range k.Cure {
		cure = append(cure, replace.Replace(line))
	}
	c.findings = append(c.findings, Finding{ID: id, Severity: k.Severity, Role: c.role, Check: c.check, What: fmt.Sprintf(format, args...), Why: k.Why, Cure: cure})
}

func (c *collector) outcome(took time.Duration) Outcome {
	o := Outcome{Check: c.check, Role: c.role, State: Held, Detail: strings.Join(c.notes, "; "), Took: took.Milliseconds()}
	switch {
	case len(c.findings) > 0:
		o.State = Found
		ids := make([]string, 0, len(c.findings))
		for _, f := range c.findings {
			if !slices.Contains(ids, f.ID) {
				ids = append(ids, f.ID)
			}
		}
		o.Detail = strings.Join(ids, ", ")
	case c.skipped != "":
		o.State, o.Detail = Skipped, c.skipped
	}
	return o
}
