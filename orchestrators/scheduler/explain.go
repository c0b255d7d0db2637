// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"fmt"
	"strings"
)

// maxListed bounds how many refused candidates an explanation spells out; the rest are counted.
const maxListed = 8

// Rejection says why one candidate was refused.
type Rejection struct {
	ID, Name string
	Kind     Kind
	Reason   string
}

func (r Rejection) String() string { return r.Name + ": " + r.Reason }

// Explanation says why candidates were refused, in a person's words.
type Explanation struct {
	Rejections []Rejection
}

// Kind returns what came closest to a placement: [Full] if any candidate was only too full, else [Unavailable] if any was only
// away, else [Unqualified], also when there was no candidate at all.
func (e Explanation) Kind() Kind {
	kind := Unqualified
	for _, r := range e.Rejections {
		kind = max(kind, r.Kind)
	}
	return kind
}

// String lists the refusals, those closest to a placement first.
func (e Explanation) String() string {
	if len(e.Rejections) == 0 {
		return "there is no candidate"
	}
	var parts []string
	for kind := Full; kind >= Unqualified; kind-- {
		for _, r := range e.Rejections {
			if r.Kind == kind && len(parts) < maxListed {
				parts = append(parts, r.String())
			}
		}
	}
	if more := len(e.Rejections) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, " | ")
}
