// SPDX-License-Identifier: Apache-2.0

package coexist

import (
	"slices"

	"github.com/google/nftables"
)

// place is a chain that our rules belong into.
type place struct {
	owner string
	chain *nftables.Chain
}

// places returns the chains that our rules belong into, and foreign base chains that drop what is forwarded and have no such place.
func places(chains []*nftables.Chain) (ours []place, unknown []*nftables.Chain) {
	for _, c := range chains {
		if !forwards(c) || c.Table.Name == ownTable {
			continue
		}
		drops := c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
		switch {
		case isIPTables(c) && drops:
			ours = append(ours, placeOfIPTables(c, chains))
		case c.Table.Name == "firewalld" && c.Name == "filter_FORWARD":
			// It rejects with its last rule; its policy does not tell.
			ours = append(ours, place{"firewalld", c})
		case drops:
			unknown = append(unknown, c)
		}
	}
	return ours, unknown
}

// ownTable is this project's, which drops only what it means to.
const ownTable = "oakestra"

// forwards reports whether packets that the host forwards meet a base chain.
func forwards(c *nftables.Chain) bool {
	return c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward && c.Type == nftables.ChainTypeFilter
}

// isIPTables reports whether the chain is what iptables, in its form on nftables, calls FORWARD of its filter table.
func isIPTables(c *nftables.Chain) bool {
	return c.Table.Name == "filter" && c.Name == "FORWARD" &&
		(c.Table.Family == nftables.TableFamilyIPv4 || c.Table.Family == nftables.TableFamilyIPv6)
}

// placeOfIPTables returns the first chain that FORWARD is known to ask and that its owner leaves to others. Without one, it is
// FORWARD itself.
func placeOfIPTables(forward *nftables.Chain, chains []*nftables.Chain) place {
	for _, known := range []struct{ owner, chain string }{
		{"Docker", "DOCKER-USER"}, {"ufw", "ufw-user-forward"}, {"ufw", "ufw6-user-forward"},
	} {
		i := slices.IndexFunc(chains, func(c *nftables.Chain) bool {
			return c.Name == known.chain && c.Table.Name == forward.Table.Name && c.Table.Family == forward.Table.Family
		})
		if i >= 0 {
			return place{known.owner, chains[i]}
		}
	}
	return place{"iptables", forward}
}

// isPlace reports whether a chain is one that a rule of ours may ever have been put into.
func isPlace(c *nftables.Chain) bool {
	switch c.Name {
	case "DOCKER-USER", "ufw-user-forward", "ufw6-user-forward", "FORWARD", "filter_FORWARD":
		return true
	}
	return false
}
