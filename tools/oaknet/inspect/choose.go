// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"math"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Candidate is an instance that a new flow could be given to.
type Candidate struct {
	// Turn counts from the one that is looked at first.
	Turn    int    `json:"turn"`
	Backend uint32 `json:"backend"`
	Number  uint32 `json:"instance_number"`
	InstanceAddresses
	Local    bool   `json:"local"`
	WorkerID string `json:"worker_id"`
	Peer     uint32 `json:"peer"`
	Usable   bool   `json:"usable"`
	// Unusable says why not.
	Unusable string `json:"unusable"`
	// RoundTrip is the smoothed round trip to its worker in milliseconds, Distance how far that is, in steps that only compare; null if
	// unknown.
	RoundTrip *float64 `json:"round_trip_ms"`
	Distance  *uint16  `json:"distance"`
	Active    uint32   `json:"active"`
	Load      uint32   `json:"load"`
	// Cost is what the policy compares, the least wins; 0 of policies that compare nothing.
	Cost   uint32 `json:"cost"`
	Chosen bool   `json:"chosen"`
}

// unmeasured is the least cost of a distance without a round trip, as the programs reckon.
const unmeasured = 0x40000000

// cost mirrors how the programs weigh an instance.
func (c Candidate) cost(policy uint32) uint32 {
	switch {
	case policy == bpf.PolicyUnderutilized:
		return (min(c.Active, 1_000_000) + 1) * (1000 + min(c.Load, 1000))
	case policy != bpf.PolicyClosest || c.Local:
		return 0
	case c.RoundTrip != nil:
		return min(uint32(math.Round(*c.RoundTrip*1000))+1, unmeasured-1)
	case c.Distance == nil:
		return unmeasured + unknownDistance
	}
	return unmeasured + uint32(*c.Distance)
}

// better mirrors when the programs take one cost for less than another: round trips that differ by less than an eighth do not differ.
func better(policy, cost, best uint32) bool {
	if policy == bpf.PolicyClosest && best < unmeasured && cost != 0 {
		return cost < best-best/8
	}
	return cost < best
}

// choose marks the candidate that the programs would take for the next flow, and says why; candidates are in turn. It returns -1 if there
// is none.
func choose(policy uint32, candidates []Candidate) (chosen int, why string) {
	chosen = -1
	usable := 0
	for i := range candidates {
		c := &candidates[i]
		c.Cost = c.cost(policy)
		if !c.Usable {
			continue
		}
		usable++
		if chosen < 0 || policy != bpf.PolicyRoundRobin && better(policy, c.Cost, candidates[chosen].Cost) {
			chosen = i
		}
	}
	if chosen < 0 {
		return -1, fmt.Sprintf("none of %d instances can be given a flow", len(candidates))
	}
	candidates[chosen].Chosen = true
	return chosen, reason(policy, candidates[chosen], usable)
}

func reason(policy uint32, c Candidate, usable int) string {
	if usable == 1 && policy != bpf.PolicyInstance {
		return "it is the only one that can be given a flow"
	}
	switch policy {
	case bpf.PolicyRoundRobin:
		if c.Turn > 0 {
			return fmt.Sprintf("it is the next in turn that can be given a flow: %d before it cannot", c.Turn)
		}
		return "it is the next in turn"
	case bpf.PolicyClosest:
		switch {
		case c.Local:
			return "it is on this worker"
		case c.RoundTrip != nil:
			return fmt.Sprintf("its worker has the least round trip, %.2f ms; of those within an eighth of each other the next in turn is taken", *c.RoundTrip)
		case c.Distance != nil:
			return fmt.Sprintf("no round trip was measured yet, and its worker has the least distance, %d", *c.Distance)
		}
		return "neither round trips nor distances are known, and it is the next in turn"
	case bpf.PolicyUnderutilized:
		return fmt.Sprintf("it is the least busy: %d flows of callers here, load %.1f%%", c.Active, float64(c.Load)/10)
	}
	return "the address is that instance's own"
}
