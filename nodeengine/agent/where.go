// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// Where returns the runtime that has this generation of an instance, the id of the copy there, and its state; ok is false if it is not here.
func (a *Agent) Where(key wire.InstanceKey, gen wire.Generation) (rt runtime.Runtime, id string, state wire.State, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.actors[key]
	if c == nil || c.rows.copy == nil || c.rows.spec == nil || c.rows.copy.Generation != gen {
		return nil, "", "", false
	}
	rt, ok = a.opts.Runtimes[c.rows.spec.Runtime]
	return rt, runtime.ID(key, gen), c.rows.copy.State, ok
}
