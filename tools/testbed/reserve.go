// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"fmt"

	"github.com/oakestra/oakestra-ebpf/tools/testbed/underlay"
)

// Reserve keeps the names that a testbed uses on the machine, of the underlay and its hosts, for who builds something else with them: no testbed
// starts until release is called. It fails with [ErrUp] while one is up. Hosts that an earlier run has left are cleared away.
func Reserve(ctx context.Context) (release func(), err error) {
	unlock, err := lockUnused(ctx)
	if err != nil {
		return nil, err
	}
	if err := underlay.Delete(); err != nil {
		unlock()
		return nil, fmt.Errorf("clear left-overs away: %w", err)
	}
	return unlock, nil
}
