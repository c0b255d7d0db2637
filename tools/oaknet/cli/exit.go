// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/pins"
)

// The exit codes of oak-net.
const (
	ExitOK         = 0
	ExitError      = 1
	ExitUsage      = 2
	ExitNotFound   = 3
	ExitPermission = 4
)

const exitCodes = `Exit codes: 0 done, 1 failed, 2 wrong usage (several workers and no --worker too), 3 not found (no pins, no such entry), 4 not
permitted (not root).`

// coded is an error with an exit code of its own.
type coded struct {
	code int
	err  error
}

func (e *coded) Error() string { return e.err.Error() }
func (e *coded) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &coded{ExitUsage, fmt.Errorf(format, args...)}
}

func notFoundf(format string, args ...any) error {
	return &coded{ExitNotFound, fmt.Errorf(format, args...)}
}

// codeOf returns the exit code for an error.
func codeOf(err error) int {
	var c *coded
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &c):
		return c.code
	case errors.Is(err, pins.ErrSeveral), errors.Is(err, inspect.ErrMap):
		return ExitUsage
	case errors.Is(err, pins.ErrNone), errors.Is(err, os.ErrNotExist):
		return ExitNotFound
	case errors.Is(err, os.ErrPermission):
		return ExitPermission
	}
	return ExitError
}

// explain adds the way out that the error itself cannot know.
func explain(err error) string {
	switch {
	case errors.Is(err, os.ErrPermission):
		return err.Error() + "\nPinned maps are for root alone: run oak-net as root."
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	return err.Error()
}
