// SPDX-License-Identifier: Apache-2.0

// Package plan owns what the host tells the guest to do and how the guest says on the console what became of it.
//
// It knows neither how a guest is booted nor what it runs.
package plan

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Path is where the guest finds its plan, as JSON.
const Path = "/plan.json"

// OakNet is where the guest has the program oak-net.
const OakNet = "/bin/oak-net"

// Plan is all that a guest does: it loads the modules, runs one program after the other, and turns itself off.
type Plan struct {
	// Modules are the paths of kernel modules, in the order of loading.
	Modules []string
	Runs    []Run
}

// Run is one program to run.
type Run struct {
	// Name is what the console calls it.
	Name string
	Args []string
	Dir  string
	// Timeout is when it is killed.
	Timeout time.Duration
}

// mark begins the lines of the console that are the guest's own. Its first character is no part of what a test prints.
const mark = "\x1eoak "

// Events of the console.
const (
	// Ready: modules are loaded.
	Ready = "ready"
	// Start and Exit: a run, named by its number, begins or has ended, with its exit status.
	Start = "start"
	Exit  = "exit"
	// Broken: the guest could not do what it was told, and why.
	Broken = "broken"
	// Done: all runs are over.
	Done = "done"
)

// Event is a line of the console that is the guest's own.
type Event struct {
	Kind string
	// Run is the number of a run in its plan, Status its exit status.
	Run, Status int
	// Text says why, for [Broken], and names the kernel, for [Ready].
	Text string
}

// String is the event's line without its end.
func (e Event) String() string {
	return fmt.Sprintf("%s%s %d %d %s", mark, e.Kind, e.Run, e.Status, strings.ReplaceAll(e.Text, "\n", "; "))
}

// ParseEvent reads a line of the console. Whatever a program had printed without ending its line stands before the mark and is
// returned; ok is false for a line that holds no event.
func ParseEvent(line string) (before string, e Event, ok bool) {
	before, rest, found := strings.Cut(line, mark)
	if !found {
		return line, Event{}, false
	}
	fields := strings.SplitN(strings.TrimRight(rest, "\r\n"), " ", 4)
	if len(fields) != 4 {
		return line, Event{}, false
	}
	run, err := strconv.Atoi(fields[1])
	if err != nil || run < 0 {
		return line, Event{}, false
	}
	status, err := strconv.Atoi(fields[2])
	if err != nil {
		return line, Event{}, false
	}
	return before, Event{Kind: fields[0], Run: run, Status: status, Text: fields[3]}, true
}
