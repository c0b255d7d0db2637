// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Tier is who has to move an instance out of a state.
type Tier string

// The tiers.
const (
	Root    Tier = "root"
	Cluster Tier = "cluster"
	Worker  Tier = "worker"
)

// Times after which a tier stops waiting.
const (
	// AnswerWithin is how long root waits for a cluster that was given an instance to say anything of it.
	AnswerWithin = 60 * time.Second
	// TakeWithin is how long a cluster waits for a worker that is there to begin with what it was given.
	TakeWithin = 30 * time.Second
	// FailWithin is how long a worker tries what fails, short of the workload itself, before it has the cluster look for another one.
	FailWithin = 60 * time.Second
	// StallWithin is how long a pull may go on without a byte.
	StallWithin = 60 * time.Second
	// PullWithin bounds a pull: an image of 4 GB over 10 Mbit/s.
	PullWithin = time.Hour
	// CreateWithin is how long a cluster believes that a worker is creating an instance: a pull, and all else that a worker bounds.
	CreateWithin = PullWithin + 10*time.Minute
	// RetryWithin is how often root, at the latest, looks again for a place for what has none.
	RetryWithin = 5 * time.Second
)

// Rule is what holds for one state.
type Rule struct {
	State wire.State
	Owner Tier
	// Within is the time-out; 0 for a state that may last. Timeout says in words what bounds it.
	Within  time.Duration
	Timeout string
	// WayOut is what happens then, or whenever the state does not last.
	WayOut string
	// Next are the states that may follow directly.
	Next []wire.State
}

// Final reports whether the instance leaves the state only by being undeployed.
func (r *Rule) Final() bool { return slices.Equal(r.Next, []wire.State{wire.StateUndeployed}) }

// Groups of states that follow one another alike.
var (
	// lost are the states of an instance without a place: its cluster looks for one, or gives it back to root.
	lost = states(wire.StateClusterScheduled, wire.StateNodeScheduled, wire.StateNoWorkerCapacity, wire.StateNoQualifiedWorker)
	// back are those of a copy whose worker is there again, or is heard of again, after all.
	back = states(wire.StateCreating, wire.StateCreated, wire.StateRunning, wire.StateFailed, wire.StateCompleted, wire.StateDead)
	// unplaced are root's own words for an instance that no cluster can take.
	unplaced = states(wire.StateNoActiveCluster, wire.StateClusterNotFound, wire.StateClusterNotActive, wire.StateClusterNoCapacity)
)

func states(s ...wire.State) []wire.State { return s }

// next is what may follow, UNDEPLOYED in any case.
func next(lists ...[]wire.State) []wire.State {
	return append(slices.Concat(lists...), wire.StateUndeployed)
}

var table = [...]Rule{
	{wire.StateRequested, Root, RetryWithin, "the transaction that stores it, else the next pass",
		"placed, or a named failure with the reason", next(states(wire.StateClusterScheduled), unplaced)},
	{wire.StateNoActiveCluster, Root, RetryWithin, "", "tried again with every pass and every report of a cluster, until there is room",
		next(states(wire.StateClusterScheduled), unplaced)},
	{wire.StateClusterNotFound, Root, RetryWithin, "", "likewise", next(states(wire.StateClusterScheduled), unplaced)},
	{wire.StateClusterNotActive, Root, RetryWithin, "", "likewise", next(states(wire.StateClusterScheduled), unplaced)},
	{wire.StateClusterNoCapacity, Root, RetryWithin, "", "likewise", next(states(wire.StateClusterScheduled), unplaced)},
	{wire.StateClusterScheduled, Cluster, AnswerWithin, "",
		"a cluster that has not said anything of it by then: root gives it to another one that can take it",
		next(lost, unplaced, back)},
	{wire.StateNoWorkerCapacity, Cluster, RetryWithin, "", "placed as soon as a worker can take it; root tries the other clusters meanwhile, ever less often",
		next(lost, unplaced, back)},
	{wire.StateNoQualifiedWorker, Cluster, RetryWithin, "", "likewise", next(lost, unplaced, back)},
	{wire.StateNodeScheduled, Worker, TakeWithin, "",
		"a worker that is there and has not begun by then: another worker; one that is away: `lost_after`", next(states(wire.StateCreating), lost)},
	{wire.StateCreating, Worker, CreateWithin, "each step its own: a pull " + StallWithin.String() + " without a byte and " + PullWithin.String() + " in all, addresses 15s, the container 60s",
		"a step that fails is tried again with back-off; after " + FailWithin.String() + " of failures, or the bound, another worker is looked for", next(states(wire.StateCreated, wire.StateFailed), lost)},
	{wire.StateCreated, Worker, CreateWithin, "the start, 60s", "as CREATING", next(states(wire.StateRunning, wire.StateCreating, wire.StateFailed), lost)},
	{wire.StateRunning, Worker, 0, "while it runs; its worker away: `lost_after`; its liveness probe failing",
		"its end: COMPLETED, DEAD, or started again, as the restart policy has it; its worker lost: another worker, then another cluster",
		next(states(wire.StateCompleted, wire.StateDead, wire.StateCreating, wire.StateFailed), lost)},
	{wire.StateFailed, Worker, 0, "attempts of its restart policy within an hour; steps that fail: " + FailWithin.String(),
		"tried on with back-off, and another worker is looked for that has not failed with it within the hour",
		next(states(wire.StateRunning, wire.StateCreating), lost)},
	{wire.StateCompleted, Root, 0, "", "lasts until it is undeployed; resources and addresses are given back at once", next()},
	{wire.StateDead, Root, 0, "", "ended badly, and its restart policy has it not started again: lasts until it is undeployed", next()},
	{wire.StateUndeployed, Root, 0, "", "the row goes, its addresses into quarantine; what root still wants is placed anew", lost},
}

// Rules returns the table, in the order in which a healthy instance passes the states.
func Rules() []Rule {
	rules := slices.Clone(table[:])
	for i := range rules { // staying is not following
		rules[i].Next = slices.DeleteFunc(slices.Clone(rules[i].Next), func(s wire.State) bool { return s == rules[i].State })
	}
	return rules
}

// RuleOf returns what holds for a state; ok is false for what is none.
func RuleOf(s wire.State) (r Rule, ok bool) {
	for i := range table {
		if table[i].State == s {
			return table[i], true
		}
	}
	return Rule{}, false
}

// Allowed reports whether a tier that sees every state of a copy may see to directly after from. Staying is allowed, and so is any first
// state.
func Allowed(from, to wire.State) bool {
	if from == to || from == "" {
		return true
	}
	r, ok := RuleOf(from)
	return ok && slices.Contains(r.Next, to)
}

// Possible reports whether to may be the next state that a tier sees which does not see all of them.
func Possible(from, to wire.State) bool {
	if Allowed(from, to) {
		return true
	}
	seen := map[wire.State]bool{from: true}
	for queue := []wire.State{from}; len(queue) > 0; queue = queue[1:] {
		r, _ := RuleOf(queue[0])
		for _, s := range r.Next {
			// Through UNDEPLOYED goes only what is placed anew, which is another generation.
			if s == to {
				return true
			}
			if !seen[s] && s != wire.StateUndeployed {
				seen[s], queue = true, append(queue, s)
			}
		}
	}
	return false
}
