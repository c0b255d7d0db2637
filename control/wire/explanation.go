// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"strings"
	"time"
)

// Tiers of an explanation.
const (
	TierRoot    = "root"    // chose among clusters
	TierCluster = "cluster" // chose among its workers
)

// RefusalKind says what has to change for a refused candidate to be taken.
type RefusalKind string

// The kinds of refusal, in the order in which a later one is closer to a placement.
const (
	// RefusalUnqualified candidates can never run the instance.
	RefusalUnqualified RefusalKind = "unqualified"
	// RefusalUnavailable candidates could, but take nothing new now.
	RefusalUnavailable RefusalKind = "unavailable"
	// RefusalFull candidates could, but what is free does not suffice.
	RefusalFull RefusalKind = "full"
)

// refusalKinds lists the kinds, those closest to a placement first.
func refusalKinds() []RefusalKind {
	return []RefusalKind{RefusalFull, RefusalUnavailable, RefusalUnqualified}
}

// Explanation says why an instance was placed where it is, or why it has no place, as one tier saw it at one time. Counts are over
// all candidates; only so many are named as a person reads.
type Explanation struct {
	// Tier is [TierRoot], whose candidates are clusters, or [TierCluster], whose candidates are workers.
	Tier string    `json:"tier,omitempty"`
	At   time.Time `json:"at,omitzero"`
	// Strategy is how the feasible candidates were ordered: spread, best_fit or ldp.
	Strategy string `json:"strategy,omitempty"`
	// Candidates counts all that were looked at, Feasible those that could have taken the instance.
	Candidates int `json:"candidates"`
	Feasible   int `json:"feasible"`
	// Chosen is the one that got it; nil if none could.
	Chosen *ExplainedChoice `json:"chosen,omitempty"`
	// Refusals count the others by their first reason, those closest to a placement first.
	Refusals []RefusalCount `json:"refusals,omitempty"`
	// Rejections are examples of each reason, in the same order.
	Rejections []Rejection `json:"rejections,omitempty"`
	// Notes are remarks on the demand, such as that nothing of a service to be near to runs yet.
	Notes []string `json:"notes,omitempty"`
}

// ExplainedChoice is the candidate that got an instance.
type ExplainedChoice struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	// Why says in a person's words by what it was preferred.
	Why string `json:"why,omitempty"`
	// Score is the part of its processors and memory, 0 to 1, that stays free.
	Score float64 `json:"score"`
}

// RefusalCount counts the candidates that were refused for one reason.
type RefusalCount struct {
	// Reason is a stable word, such as memory, host_port or latency.
	Reason string      `json:"reason"`
	Kind   RefusalKind `json:"kind"`
	Count  int         `json:"count"`
}

// Rejection says why one candidate was refused.
type Rejection struct {
	ID     string      `json:"id"`
	Name   string      `json:"name,omitempty"`
	Kind   RefusalKind `json:"kind"`
	Reason string      `json:"reason"`
	// Detail is the reason in a person's words, with the amounts.
	Detail string `json:"detail"`
}

func (r Rejection) String() string {
	name := r.Name
	if name == "" {
		name = r.ID
	}
	return name + ": " + r.Detail
}

// Kind returns what came closest to a placement: [RefusalFull] if any candidate was only too full, else [RefusalUnavailable] if any was
// only away, else [RefusalUnqualified], also when there was no candidate at all.
func (e *Explanation) Kind() RefusalKind {
	for _, kind := range refusalKinds() {
		for _, r := range e.Refusals {
			if r.Kind == kind {
				return kind
			}
		}
	}
	return RefusalUnqualified
}

// String says in a line why candidates were refused, those closest to a placement first, or by what the chosen one was preferred.
func (e *Explanation) String() string {
	var parts []string
	switch {
	case e.Chosen != nil:
		parts = append(parts, fmt.Sprintf("%s of %d that could take it, %s", e.Chosen.Name, e.Feasible, e.Chosen.Why))
	case e.Candidates == 0:
		parts = append(parts, "there is no candidate")
	default:
		for _, r := range e.Rejections {
			parts = append(parts, r.String())
		}
		if more := e.Candidates - e.Feasible - len(e.Rejections); more > 0 {
			parts = append(parts, fmt.Sprintf("and %d more", more))
		}
	}
	return strings.Join(append(parts, e.Notes...), " | ")
}
