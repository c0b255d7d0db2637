// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"cmp"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Strategy orders the candidates that can take an instance.
type Strategy string

// The strategies.
const (
	// Spread keeps the instances of one service apart, then prefers the candidate with most left free. It is the default.
	Spread Strategy = "spread"
	// BestFit fills the candidate that would have least left, so that large free slots stay whole.
	BestFit Strategy = "best_fit"
)

// Placement is where an instance goes.
type Placement struct {
	// ID is the chosen candidate's, Index its place among those given; ID is "" if none was found.
	ID    string
	Index int
	// Score is the part of the candidate, 0 to 1, that stays free, for logs and tests.
	Score float64
}

// Found reports whether there is a place.
func (p Placement) Found() bool { return p.ID != "" }

// Place chooses one of candidates for req. Equal candidates are decided by id, so that the same input has the same answer.
// It reserves nothing: see [Candidate.Reserve]. An empty strategy is [Spread].
func Place(req Request, candidates []Candidate, strategy Strategy) (Placement, Explanation) {
	best := Placement{Index: -1}
	var why Explanation
	for i := range candidates {
		c := &candidates[i]
		if kind, reason, ok := refuse(&req, c); !ok {
			why.Rejections = append(why.Rejections, Rejection{ID: c.ID, Name: cmp.Or(c.Name, c.ID), Kind: kind, Reason: reason})
			continue
		}
		p := Placement{ID: c.ID, Index: i, Score: left(req.Need, c)}
		if !best.Found() || better(strategy, c, &candidates[best.Index], p, best) {
			best = p
		}
	}
	if !best.Found() {
		best.Index = 0
	}
	return best, why
}

// better reports whether candidate a, scored p, is preferred to b, scored q.
func better(strategy Strategy, a, b *Candidate, p, q Placement) bool {
	order := 0
	switch strategy {
	case BestFit:
		order = cmp.Or(cmp.Compare(p.Score, q.Score), cmp.Compare(a.SameService, b.SameService))
	default:
		order = cmp.Or(cmp.Compare(a.SameService, b.SameService), cmp.Compare(q.Score, p.Score))
	}
	return cmp.Or(order, cmp.Compare(a.ID, b.ID)) < 0
}

// left is the mean of the parts of processors and memory that stay free once need is taken, 0 to 1. A candidate of unknown
// capacity counts as being as large as what is free.
func left(need wire.Slot, c *Candidate) float64 {
	part := func(need, free, capacity float64) float64 {
		if capacity = max(capacity, free); capacity <= 0 {
			return 0
		}
		return min(max((free-need)/capacity, 0), 1)
	}
	return (part(need.VCPUs, c.Free.VCPUs, c.Capacity.VCPUs) +
		part(float64(need.MemoryMB), float64(c.Free.MemoryMB), float64(c.Capacity.MemoryMB))) / 2
}
