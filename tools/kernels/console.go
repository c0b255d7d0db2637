// SPDX-License-Identifier: Apache-2.0

package kernels

import (
	"bytes"
	"time"

	"github.com/oakestra/oakestra-ebpf/tools/kernels/plan"
)

// Bounds of what is kept of a console: of a line without an end, and of one run.
const (
	longestLine = 1 << 20
	mostOutput  = 32 << 20
)

// console reads a guest's console: whatever a run prints, and the guest's own lines between.
type console struct {
	line []byte
	// kernel is the kernel's name as it calls itself, once the guest is ready.
	kernel string
	runs   map[int]*output
	// now is the run whose output comes; nil between runs.
	now *output
	// boot is what came before the first run, broken what the guest could not do, done that it said goodbye.
	boot   bytes.Buffer
	broken []string
	done   bool
}

// output is what one run printed.
type output struct {
	text   bytes.Buffer
	status int
	exited bool
	begun  time.Time
	took   time.Duration // until it exited
}

func newConsole() *console { return &console{runs: map[int]*output{}} }

// Write never fails.
func (c *console) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			c.line = append(c.line, b...)
			if len(c.line) > longestLine {
				c.flush()
			}
			break
		}
		c.line = append(c.line, b[:i+1]...)
		c.flush()
		b = b[i+1:]
	}
	return n, nil
}

// flush takes a line, whose end the guest's terminal has made "\r\n".
func (c *console) flush() {
	line := bytes.TrimSuffix(c.line, []byte("\n"))
	line = bytes.TrimRight(line, "\r")
	before, e, ok := plan.ParseEvent(string(line))
	c.line = c.line[:0]
	if !ok {
		c.keep(string(line) + "\n")
		return
	}
	if before != "" {
		c.keep(before + "\n")
	}
	c.take(e)
}

func (c *console) keep(text string) {
	to := &c.boot
	if c.now != nil {
		to = &c.now.text
	}
	if to.Len()+len(text) <= mostOutput {
		to.WriteString(text)
	}
}

func (c *console) take(e plan.Event) {
	switch e.Kind {
	case plan.Ready:
		c.kernel = e.Text
	case plan.Start:
		c.now = &output{begun: time.Now()}
		c.runs[e.Run] = c.now
	case plan.Exit:
		if r := c.runs[e.Run]; r != nil {
			r.status, r.exited, r.took = e.Status, true, time.Since(r.begun)
		}
		c.now = nil
	case plan.Broken:
		c.broken = append(c.broken, e.Text)
	case plan.Done:
		c.done = true
	}
}
