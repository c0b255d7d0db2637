// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// Result is how a package's tests went on a kernel.
type Result struct {
	Package string
	// Passed is that the test binary exited with 0 after at least one test had passed.
	Passed bool
	// Pass, Fail and Skip count tests, those within tests too.
	Pass, Fail, Skip int
	// Took is by the host's clock.
	Took time.Duration
	// Notes holds, by test, what each failed and each skipped test printed.
	Notes []Note
	// Fault says why there is no result, such as that the machine was turned off first.
	Fault string
	// Tail is the end of what was printed, of a package that did not pass.
	Tail string
}

// Note is what one test printed.
type Note struct {
	Test    string
	Skipped bool
	Text    string
}

// event is a line of test2json, see `go doc test2json`.
type event struct {
	Action, Test, Output string
}

// judge makes a result of what a test binary printed.
func judge(ctx context.Context, pkg string, o *output) (Result, error) {
	r := Result{Package: pkg}
	if o == nil {
		r.Fault = "it never began"
		return r, nil
	}
	r.Took = o.took
	events, err := testEvents(ctx, o.text.Bytes())
	if err != nil {
		return r, err
	}
	r.count(events)
	switch {
	case !o.exited:
		r.Fault = "the machine ended before it"
	case o.status != 0:
		r.Fault = fmt.Sprintf("exit status %d", o.status)
	case r.Fail > 0:
		r.Fault = fmt.Sprintf("%d tests failed", r.Fail)
	case r.Pass == 0:
		r.Fault = "no test ran"
	}
	r.Passed = r.Fault == ""
	if !r.Passed {
		r.Tail = tail(o.text.String(), tailLines)
	}
	return r, nil
}

// tailLines is how much of a failed package's output is shown.
const tailLines = 60

func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// count fills in what the events say.
func (r *Result) count(events []event) {
	printed := map[string]*strings.Builder{}
	for _, e := range events {
		if e.Test == "" {
			continue
		}
		switch e.Action {
		case "output":
			if printed[e.Test] == nil {
				printed[e.Test] = &strings.Builder{}
			}
			printed[e.Test].WriteString(e.Output)
		case "pass":
			r.Pass++
		case "fail", "skip":
			text := ""
			if b := printed[e.Test]; b != nil {
				text = b.String()
			}
			r.Notes = append(r.Notes, Note{Test: e.Test, Skipped: e.Action == "skip", Text: ownLines(text)})
			if e.Action == "skip" {
				r.Skip++
			} else {
				r.Fail++
			}
		}
	}
}

// ownLines leaves out the lines in which the testing package says that a test begins, ends or waits.
func ownLines(text string) string {
	var own []string
	for line := range strings.Lines(text) {
		at := strings.TrimSpace(line)
		if !strings.HasPrefix(at, "=== ") && !strings.HasPrefix(at, "--- ") && at != "" {
			own = append(own, at)
		}
	}
	return strings.Join(own, "\n")
}

// testEvents has the go command translate a test binary's output.
func testEvents(ctx context.Context, text []byte) ([]event, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "test2json")
	cmd.Stdin = bytes.NewReader(text)
	var failed bytes.Buffer
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("translate the tests' output: %w: %s", err, strings.TrimSpace(failed.String()))
	}
	var events []event
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var e event
		err := d.Decode(&e)
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, fmt.Errorf("translate the tests' output: %w", err)
		}
		events = append(events, e)
	}
}
