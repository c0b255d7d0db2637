// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"cmp"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const (
	// examples is how many refused candidates are named for each reason.
	examples = 3
	// maxNamed bounds how many refused candidates an explanation names; the rest are counted.
	maxNamed = 8
)

// explain puts what a walk found into words.
func (p *Pool) explain(req *Request, strategy Strategy, f *found) wire.Explanation {
	e := wire.Explanation{Strategy: string(strategy), Candidates: len(p.candidates), Feasible: f.feasible}
	if f.best >= 0 {
		c := &p.candidates[f.best]
		e.Chosen = &wire.ExplainedChoice{ID: cmp.Or(c.Site, c.ID), Name: cmp.Or(c.Name, c.ID), Score: f.standing.left,
			Why: f.standing.preference(strategy)}
	}
	var order []reason
	for why := range reasons {
		if f.counts[why] > 0 {
			order = append(order, why)
		}
	}
	slices.SortStableFunc(order, func(a, b reason) int { return cmp.Compare(closeness(b), closeness(a)) })
	for _, why := range order {
		e.Refusals = append(e.Refusals, wire.RefusalCount{Reason: words[why], Kind: why.kind(), Count: int(f.counts[why])})
	}
	// One of each reason first, so that no reason hides the others.
	named := map[reason]int32{}
	for n := range int32(examples) {
		for _, why := range order {
			if n < f.counts[why] && len(e.Rejections) < maxNamed {
				named[why]++
				e.Rejections = append(e.Rejections, wire.Rejection{})
			}
		}
	}
	e.Rejections = e.Rejections[:0]
	for _, why := range order {
		for n := range named[why] {
			i := f.examples[why][n]
			c := &p.candidates[i]
			e.Rejections = append(e.Rejections, wire.Rejection{ID: cmp.Or(c.Site, c.ID), Name: cmp.Or(c.Name, c.ID), Kind: why.kind(),
				Reason: words[why], Detail: p.text(req, i, why)})
		}
	}
	for i := range req.Near {
		if d := &req.Near[i]; d.Service && len(d.Targets) == 0 {
			e.Notes = append(e.Notes, "nothing of "+d.Name+" runs yet, so that any place is near enough")
		}
	}
	return e
}

// closeness orders reasons by kind; a higher one is closer to a placement.
func closeness(why reason) int {
	switch why.kind() {
	case wire.RefusalFull:
		return 2
	case wire.RefusalUnavailable:
		return 1
	}
	return 0
}
