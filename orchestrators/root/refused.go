// SPDX-License-Identifier: Apache-2.0

package root

import (
	"fmt"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/lifecycle"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// refusal is a cluster's word that none of its workers can take an instance.
type refusal struct {
	At time.Time `json:"at"`
	// Gains is how often capacity had appeared in the cluster by then.
	Gains uint64 `json:"gains"`
	Why   string `json:"why"`
}

// A cluster that has refused an instance is not asked again for refusalLeast, and for refusalMost unless capacity has appeared there.
const (
	refusalLeast = 30 * time.Second
	refusalMost  = 10 * time.Minute
	maxRefusals  = 256
	// maxRefusalWhy bounds what is kept of a cluster's reason, in bytes.
	maxRefusalWhy = 512
)

// refusedBy returns the clusters that are not to be asked, and why: the one that has the instance and gives it back, and those that did so
// before. What does not hold any more is forgotten.
func (i *instanceRow) refusedBy(view *clusterView, now time.Time) map[string]string {
	if i.refusals == nil {
		i.refusals = map[string]refusal{}
	}
	if i.cluster != "" && (i.leaving || i.state == wire.StateClusterScheduled || slices.Contains(givenBack(), i.state)) {
		said := refusal{At: now, Why: "could not place it on any of its workers: " + clip(i.detail, maxRefusalWhy)}
		if i.leaving {
			said.Why = "drains its worker, and has no other for it: " + clip(i.detail, maxRefusalWhy)
		}
		if i.state == wire.StateClusterScheduled {
			said.Why = fmt.Sprintf("has not said anything of it within %s", lifecycle.AnswerWithin)
		}
		if c := view.find(i.cluster); c != nil {
			said.Gains = c.aggregate.Gains
		}
		i.refusals[i.cluster] = said
	}
	out := map[string]string{}
	for id, said := range i.refusals {
		c := view.find(id)
		age := now.Sub(said.At)
		if c == nil || age >= refusalMost || age >= refusalLeast && said.Gains != c.aggregate.Gains || len(out) >= maxRefusals {
			delete(i.refusals, id)
			continue
		}
		out[id] = said.Why
	}
	if i.cluster != "" && out[i.cluster] == "" {
		out[i.cluster] = "has it"
		if view.lost(i.cluster) {
			out[i.cluster] = "has it, and has been silent for longer than its grace time"
		}
	}
	return out
}

// nextGain returns how long it is until a cluster may be asked again in which capacity has appeared since it refused.
func (i *instanceRow) nextGain(view *clusterView, now time.Time) time.Duration {
	next := refusalMost
	for id, said := range i.refusals {
		if c := view.find(id); c != nil && said.Gains != c.aggregate.Gains && id != i.cluster {
			next = min(next, max(refusalLeast-now.Sub(said.At), time.Second))
		}
	}
	return next
}
