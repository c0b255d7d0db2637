// SPDX-License-Identifier: Apache-2.0

package agent

import "github.com/oakestra/oakestra-ebpf/control/wire"

// Specs returns the specifications of all instances that are wanted or here.
func (a *Agent) Specs() []wire.InstanceSpec {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]wire.InstanceSpec, 0, len(a.desired)+len(a.actors))
	for _, d := range a.desired {
		out = append(out, d.Spec)
	}
	for _, c := range a.actors {
		if c.rows.spec != nil {
			out = append(out, *c.rows.spec)
		}
	}
	return out
}
