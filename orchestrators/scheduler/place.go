// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"cmp"
	"strconv"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Strategy orders the candidates that can take an instance. A request that has to be near to something is placed by [LDP], whatever the
// strategy is.
type Strategy string

// The strategies.
const (
	// Spread keeps the instances of one service apart, then prefers the candidate with most left free. It is the default.
	Spread Strategy = "spread"
	// BestFit fills the candidate that would have least left, so that large free slots stay whole.
	BestFit Strategy = "best_fit"
	// LDP is the latency- and distance-aware placement of Oakestra's paper (USENIX ATC 2023): candidates that are too far by measured round
	// trips, network coordinates or distance are filtered out, the nearest of the others preferred, and of equally near ones as in Spread.
	LDP Strategy = "ldp"
)

// Strategies lists those that can be chosen.
func Strategies() []string { return []string{string(Spread), string(BestFit)} }

// Placement is where an instance goes.
type Placement struct {
	// ID is the chosen candidate's and Site what it is a part of, or its own id; "" if none was found.
	ID, Site string
	// Score is the part of the candidate, 0 to 1, that stays free, for logs and tests.
	Score float64
}

// Found reports whether there is a place.
func (p Placement) Found() bool { return p.ID != "" }

// standing is how a candidate compares with others.
type standing struct {
	far       int32
	same      float32 // count over the site's weight, or as it is
	left      float64
	instances int32
	count     int32 // of the service's instances at the site
}

// found is what a walk over all candidates found.
type found struct {
	best     int32
	standing standing
	feasible int
	counts   [reasons]int32
	examples [reasons][examples]int32
}

// Place chooses a candidate for req. Equal candidates are decided by id, so that the same input has the same answer. It reserves nothing: see
// [Pool.Reserve]. An empty strategy is [Spread].
func (p *Pool) Place(req *Request, strategy Strategy) (Placement, wire.Explanation) {
	strategy = cmp.Or(strategy, Spread)
	if len(req.Near) > 0 {
		strategy = LDP
	}
	f := p.walk(req, strategy)
	why := p.explain(req, strategy, &f)
	if f.best < 0 {
		return Placement{}, why
	}
	c := &p.candidates[f.best]
	return Placement{ID: c.ID, Site: cmp.Or(c.Site, c.ID), Score: f.standing.left}, why
}

// PlaceAndReserve does both.
func (p *Pool) PlaceAndReserve(req *Request, strategy Strategy) (Placement, wire.Explanation) {
	placement, why := p.Place(req, strategy)
	if placement.Found() {
		p.Reserve(placement.ID, req)
	}
	return placement, why
}

// PlaceOn says whether one candidate can take req, and why not.
func (p *Pool) PlaceOn(id string, req *Request) (Placement, wire.Explanation) {
	f := found{best: -1}
	i, ok := p.index[id]
	if !ok {
		return Placement{}, wire.Explanation{}
	}
	why, _ := suits(req, &p.candidates[i])
	if why == accepted {
		why = p.now(&req.Need, &p.hot[i], i, p.excluded(req), p.holding(req))
	}
	if why == accepted {
		f.best, f.feasible, f.standing.left = i, 1, p.hot[i].left(req.Need.VCPUs, float64(req.Need.MemoryMB))
	} else {
		f.counts[why], f.examples[why][0] = 1, i
	}
	e := p.explain(req, Spread, &f)
	e.Candidates, e.Strategy = 1, ""
	if f.best < 0 {
		return Placement{}, e
	}
	c := &p.candidates[i]
	return Placement{ID: c.ID, Site: cmp.Or(c.Site, c.ID), Score: f.standing.left}, e
}

// holding returns who holds the ports that the request takes.
func (p *Pool) holding(req *Request) (all []*holders) {
	for _, want := range req.Ports {
		if h := p.ports[keyOf(want)]; h != nil {
			all = append(all, h)
		}
	}
	return all
}

// left is the mean of the parts of processors and memory that stay free.
func (h *hot) left(cpu, memory float64) float64 {
	return (max((h.free.VCPUs-cpu)*h.perVCPU, 0) + max((float64(h.free.MemoryMB)-memory)*h.perMB, 0)) / 2
}

func (p *Pool) walk(req *Request, strategy Strategy) (f found) {
	f.best = -1
	kinds := p.classOf(req)
	same := p.same(req.Service)
	ports, out := p.holding(req), p.excluded(req)
	need, cpu, memory := &req.Need, req.Need.VCPUs, float64(req.Need.MemoryMB)
	even := float32(0)
	if req.Even {
		even = 1
	}
	for i := range p.hot {
		h := &p.hot[i]
		why := kinds.verdicts[i]
		if why == accepted {
			why = p.now(need, h, int32(i), out, ports) //nolint:gosec // an index of p.hot
		}
		if why != accepted {
			if n := f.counts[why]; n < examples {
				f.examples[why][n] = int32(i) //nolint:gosec // likewise
			}
			f.counts[why]++
			continue
		}
		f.feasible++
		s := standing{same: float32(same[h.site]) * max(h.perWorker, even), left: h.left(cpu, memory), instances: h.instances, count: same[h.site]}
		if kinds.far != nil {
			s.far = kinds.far[i]
		}
		if f.best < 0 || s.before(&f.standing, strategy) {
			f.best, f.standing = int32(i), s //nolint:gosec // likewise
		}
	}
	return f
}

// excluded returns the sites that the request excludes, or, negative and less one, the candidates.
func (p *Pool) excluded(req *Request) (out []int32) {
	for id := range req.Exclude {
		if i, ok := p.index[id]; ok {
			out = append(out, -1-i)
		} else if s, ok := p.sites[id]; ok {
			out = append(out, s)
		}
	}
	return out
}

// now returns what speaks against the candidate as it is now.
func (p *Pool) now(need *wire.Slot, h *hot, i int32, out []int32, ports []*holders) reason {
	for _, x := range out {
		if x == h.site || x == -1-i {
			return excluded
		}
	}
	if h.away {
		return unavailable
	}
	if why := lacking(need, &h.free); why != accepted {
		return why
	}
	if h.many && !p.fitsOne(need, i) {
		return noSlot
	}
	for _, held := range ports {
		if held.taken.has(i) {
			return portTaken
		}
		if held.inUse.has(i) {
			return portInUse
		}
	}
	return accepted
}

func (p *Pool) fitsOne(need *wire.Slot, i int32) bool {
	for n := range p.candidates[i].Slots {
		if lacking(need, &p.candidates[i].Slots[n]) == accepted {
			return true
		}
	}
	return false
}

// before reports whether s is preferred to t.
func (s *standing) before(t *standing, strategy Strategy) bool {
	if strategy == BestFit {
		return cmp.Or(cmp.Compare(s.left, t.left), cmp.Compare(s.same, t.same), cmp.Compare(s.instances, t.instances)) < 0
	}
	if s.far != t.far {
		return s.far < t.far
	}
	if s.same != t.same {
		return s.same < t.same
	}
	if s.left != t.left {
		return s.left > t.left
	}
	return s.instances < t.instances
}

// preference says by what a candidate was preferred.
func (s *standing) preference(strategy Strategy) string {
	same := "with none of the service's instances yet"
	if s.count > 0 {
		same = "with " + strconv.Itoa(int(s.count)) + " of the service's instances, fewest for its size"
	}
	free := strconv.Itoa(int(s.left*100)) + " % of its processors and memory stay free"
	switch strategy {
	case LDP:
		return "the nearest, " + same + "; " + free
	case BestFit:
		return "the fullest that has room; " + free
	}
	return same + "; " + free
}
