// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"context"
	"errors"
	"io"

	"github.com/oakestra/oakestra-ebpf/nodeengine/logs"
)

// Streamer is a [Runtime] whose copies can be looked into; not every kind can.
type Streamer interface {
	// Logs hands what a copy has written to sink; see [logs.Folder.Read].
	Logs(ctx context.Context, id string, o logs.Options, sink logs.Sink) error
	// Attend runs a process in a running copy, as the copy's own user, and returns its exit code: 128 and the number of the signal that
	// ended it. The process is ended when the context ends. The error is [ErrNotFound] for a copy that does not run, a [*CommandError]
	// for a command that cannot be started.
	Attend(ctx context.Context, id string, p Process) (code int, err error)
}

// Process is a command to be run in a copy, and what it is connected to.
type Process struct {
	Command []string
	// TTY gives it a terminal of Size, whose output is Stdout alone.
	TTY  bool
	Size Size
	// Stdin may be nil. It has to return from Read when the context of Attend ends.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Resize and Signals, if not nil, bring new sizes of the terminal, and signals by number, while it runs.
	Resize  <-chan Size
	Signals <-chan int
	// Started is called once the process runs.
	Started func()
}

// Size is that of a terminal in characters; zero for what the runtime likes.
type Size struct{ Columns, Rows uint16 }

// CommandError says that a command cannot be started, in the words of who tried.
type CommandError struct{ Err error }

func (e *CommandError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *CommandError) Unwrap() error { return e.Err }

// ErrNotRunning is returned for a copy in which nothing runs beside which a command could.
var ErrNotRunning = errors.New("it is not running")
