// SPDX-License-Identifier: Apache-2.0

package egress

import "slices"

// firstPort is the first that masqueraded flows may get: those before it are for services.
const firstPort = 1024

// portRange returns the longest run of ports that holds neither the tunnel's nor an exposed one. In equal runs the higher counts.
func (c Config) portRange() (longest portRange) {
	taken := []int{firstPort - 1, 1 << 16, int(c.TunnelPort)}
	for _, e := range c.Exposed {
		taken = append(taken, int(e.Port))
	}
	slices.Sort(taken)
	best := 0
	for i := 1; i < len(taken); i++ {
		from := max(taken[i-1]+1, firstPort)
		if n := taken[i] - from; n > 0 && n >= best {
			best, longest = n, portRange{uint16(from), uint16(taken[i] - 1)}
		}
	}
	return longest
}
