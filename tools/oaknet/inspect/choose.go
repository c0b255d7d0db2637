// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"math"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Weights are what policies compare instances by.
type Weights struct {
	// RoundTrip is the smoothed round trip to its worker in milliseconds, Distance how far that is in kilometres; null if unknown, and of an
	// instance on this worker, which needs neither.
	RoundTrip *float64 `json:"round_trip_ms"`
	Distance  *uint16  `json:"distance_km"`
	// Active counts the flows of callers here to it that are open, Lately those that underutilized has given it in the last second or two,
	// halved as time goes on; the larger counts. Load is what it reports, of 1000; null if unknown, which counts as full.
	Active uint32  `json:"active"`
	Lately uint32  `json:"lately"`
	Load   *uint16 `json:"load"`
	// busyness is what underutilized compares.
	busyness uint32
}

// weights reads what speaks for and against a backend.
func (r *Reader) weights(index uint32, b bpf.Backend, health map[uint32]bpf.PeerHealth) (w Weights, err error) {
	flows, _, err := r.maps.Loads.Lookup(index)
	if err != nil {
		return w, fmt.Errorf("read flows of backend %d: %w", index, err)
	}
	now := r.clock.Monotonic
	w = Weights{Active: flows.Open(), Lately: flows.Given(now), busyness: flows.Cost(b.Load, now)}
	if b.Load != bpf.LoadUnknown {
		w.Load = &b.Load
	}
	if b.Peer == 0 {
		return w, nil
	}
	if b.Distance != bpf.DistanceUnknown {
		w.Distance = &b.Distance
	}
	if h := health[b.Peer]; h.Sampled != 0 {
		ms := float64(h.RttUs) / 1000
		w.RoundTrip = &ms
	}
	return w, nil
}

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
	Weights
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
		return c.busyness
	case policy != bpf.PolicyClosest || c.Local:
		return 0
	case c.RoundTrip != nil:
		return min(uint32(math.Round(*c.RoundTrip*1000))+1, unmeasured-1)
	case c.Distance == nil:
		return unmeasured + uint32(bpf.DistanceUnknown)
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
			return fmt.Sprintf("no round trip was measured yet, and its worker is the nearest, %d km away", *c.Distance)
		}
		return "neither round trips nor distances are known, and it is the next in turn"
	case bpf.PolicyUnderutilized:
		return "it is the least busy: " + c.flows() + ", " + c.load()
	}
	return "the address is that instance's own"
}

// flows says which of both counts is compared.
func (w Weights) flows() string {
	if w.Lately > w.Active {
		return fmt.Sprintf("%d flows of callers here lately", w.Lately)
	}
	return fmt.Sprintf("%d flows of callers here", w.Active)
}

func (w Weights) load() string {
	if w.Load == nil {
		return "and a load that is not known, which counts as full"
	}
	return fmt.Sprintf("load %.1f%%", float64(*w.Load)/10)
}
