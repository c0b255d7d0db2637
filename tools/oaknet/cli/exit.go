// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"os"

	"github.com/oakestra/oakestra-ebpf/control/cmdline"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
	"github.com/oakestra/oakestra-ebpf/tools/oaknet/pins"
)

// The exit codes that only oak-net has; the others are cmdline's.
const (
	ExitPermission = 4
	// ExitUnhealthy says that a check was made and something failed it.
	ExitUnhealthy = 5
)

const exitCodes = `Exit codes: 0 done, 1 failed, 2 wrong usage (several workers and no --worker too), 3 not found (no pins, no such entry), 4 not
permitted (not root), 5 something is wrong with the datapath ("check" alone).`

// codeOf returns the exit code for an error.
func codeOf(err error) int {
	switch {
	case err == nil, cmdline.HasCode(err):
		return cmdline.Code(err)
	case errors.Is(err, pins.ErrSeveral), errors.Is(err, inspect.ErrMap):
		return cmdline.Usage
	case errors.Is(err, pins.ErrNone), errors.Is(err, os.ErrNotExist):
		return cmdline.NotFound
	case errors.Is(err, os.ErrPermission):
		return ExitPermission
	}
	return cmdline.Failed
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
