// SPDX-License-Identifier: Apache-2.0

package plan

import "slices"

// Quick is the part of the main table that this project is judged by, with one stream of bulk and offloads.
func Quick() Part {
	p := Table(0)
	judged := map[string]bool{}
	for _, d := range Demands() {
		if d.Part == p.Name {
			judged[d.Over], judged[d.Under] = true, true
		}
	}
	p.Slices = slices.DeleteFunc(p.Slices, func(s Slice) bool {
		return !judged[s.Variant.Name] || s.Variant.Plain || s.Workload == Bulk4
	})
	return p
}
