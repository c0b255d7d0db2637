// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// runContext is the context that copies are watched with.
func (a *Agent) runContext() context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ctx
}

// NetworkBack is called when NetManager is ready again: every running instance is attached once more, in case it has lost
// them, what waits for it is tried at once, and endpoints of instances that are not here are given back.
func (a *Agent) NetworkBack(ctx context.Context) {
	a.mu.Lock()
	if a.ctx == nil { // nothing is adopted yet, so nothing can be told apart: Run will do it
		a.sweepDue = true
		a.mu.Unlock()
		return
	}
	for _, c := range a.actors {
		c.mu.Lock()
		c.reattach = true
		c.mu.Unlock()
		c.hurry()
	}
	a.mu.Unlock()
	a.sweepEndpoints(ctx)
}

// sweepEndpoints gives endpoints back whose instance is not here.
func (a *Agent) sweepEndpoints(ctx context.Context) {
	endpoints, err := a.opts.Network.Endpoints(ctx)
	if err != nil {
		a.opts.Log.Warn("endpoints of instances that are gone are not given back", "error", err)
		return
	}
	for _, e := range endpoints {
		if a.knows(e.InstanceKey) {
			continue
		}
		a.opts.Log.Info("giving an endpoint back: its instance is not here", "instance", e.InstanceKey.String(), "generation", e.Generation.String())
		if err := a.opts.Network.Detach(ctx, e.InstanceKey, e.Generation); err != nil {
			a.opts.Log.Warn("endpoint is not given back", "instance", e.InstanceKey.String(), "error", err)
		}
	}
}

func (a *Agent) knows(key wire.InstanceKey) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.actors[key]
	return ok
}
