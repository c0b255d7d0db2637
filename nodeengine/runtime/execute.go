// SPDX-License-Identifier: Apache-2.0

package runtime

import "context"

// Executor is a [Runtime] that can run commands inside its copies; not every kind can.
type Executor interface {
	// Execute runs a command in a running copy and returns its exit status. What it writes is thrown away; it is killed when the
	// context ends.
	Execute(ctx context.Context, id string, command []string) (status uint32, err error)
}
