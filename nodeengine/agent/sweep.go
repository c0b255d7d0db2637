// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// sweepRuntimes has the runtimes remove what a program that was killed has left of copies that are not wanted any more: no tombstone
// comes for what nobody knows of. What is wanted is made anew over its remains.
func (a *Agent) sweepRuntimes(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	keep := map[string]bool{}
	a.mu.Lock()
	for _, d := range a.desired {
		keep[runtime.ID(d.InstanceKey, d.Generation)] = true
	}
	a.mu.Unlock()
	for name, rt := range a.opts.Runtimes {
		s, ok := rt.(runtime.Sweeper)
		if !ok {
			continue
		}
		if err := s.Sweep(ctx, keep); err != nil {
			a.opts.Log.Warn("what a former life has left stays, until the next start", "runtime", name, "error", err)
		}
	}
}

// sweepNamespaces removes namespaces that an interrupted creation or removal has left.
func (a *Agent) sweepNamespaces(copies map[wire.InstanceKey][]runtime.Copy) {
	ids, err := a.opts.Namespaces.List()
	if err != nil {
		a.opts.Log.Warn("network namespaces are not swept", "error", err)
		return
	}
	used := map[string]bool{}
	for _, l := range copies {
		for _, c := range l {
			used[c.ID()] = true
		}
	}
	a.mu.Lock()
	for _, d := range a.desired {
		used[runtime.ID(d.InstanceKey, d.Generation)] = true
	}
	a.mu.Unlock()
	for _, id := range ids {
		if _, _, err := runtime.ParseID(id); err != nil || used[id] {
			continue
		}
		if err := a.opts.Namespaces.Remove(id); err != nil {
			a.opts.Log.Warn("left-over network namespace stays", "id", id, "error", err)
		}
	}
}
