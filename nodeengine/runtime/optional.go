// SPDX-License-Identifier: Apache-2.0

package runtime

import "context"

// Executor is a [Runtime] that can run commands inside its copies; not every kind can.
type Executor interface {
	// Execute runs a command in a running copy and returns its exit status. What it writes is thrown away; it is killed when the
	// context ends.
	Execute(ctx context.Context, id string, command []string) (status uint32, err error)
}

// Sweeper is a [Runtime] of which a creation or removal that was cut short may leave something that belongs to no copy.
type Sweeper interface {
	// Sweep removes that, save for the ids to keep. Nothing may be created meanwhile.
	Sweep(ctx context.Context, keep map[string]bool) error
}
