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
	hook  nftables.ChainHook
}

// places returns the chains that our rules belong into, and foreign base chains that drop what is forwarded, or comes in, and have no
// such place.
func places(chains []*nftables.Chain) (ours []place, unknown []*nftables.Chain) {
	for _, c := range chains {
		if !concerns(c) || c.Table.Name == ownTable {
			continue
		}
		drops := c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
		switch {
		case isIPTables(c) && drops:
			ours = append(ours, placeOfIPTables(c, chains))
		case c.Table.Name == "firewalld" && (c.Name == "filter_FORWARD" || c.Name == "filter_INPUT"):
			// It rejects with its last rule; its policy does not tell.
			ours = append(ours, place{"firewalld", c, *c.Hooknum})
		case drops:
			unknown = append(unknown, c)
		}
	}
	return ours, unknown
}

// ownTable is this project's, which drops only what it means to.
const ownTable = "oakestra"

// concerns reports whether packets that the host forwards, or that come in for it, meet a base chain.
func concerns(c *nftables.Chain) bool {
	return c.Hooknum != nil && c.Type == nftables.ChainTypeFilter &&
		(*c.Hooknum == *nftables.ChainHookForward || *c.Hooknum == *nftables.ChainHookInput)
}

// isIPTables reports whether the chain is what iptables, in its form on nftables, calls FORWARD or INPUT of its filter table.
func isIPTables(c *nftables.Chain) bool {
	return c.Table.Name == "filter" && (c.Name == "FORWARD" || c.Name == "INPUT") &&
		(c.Table.Family == nftables.TableFamilyIPv4 || c.Table.Family == nftables.TableFamilyIPv6)
}

// places of iptables that their owners leave to others, by the chain that asks them.
var iptablesPlaces = map[string][]struct{ owner, chain string }{
	"FORWARD": {{"Docker", "DOCKER-USER"}, {"ufw", "ufw-user-forward"}, {"ufw", "ufw6-user-forward"}},
	"INPUT":   {{"ufw", "ufw-user-input"}, {"ufw", "ufw6-user-input"}},
}

// placeOfIPTables returns the first chain that a base chain is known to ask and that its owner leaves to others. Without one, it is
// the base chain itself.
func placeOfIPTables(base *nftables.Chain, chains []*nftables.Chain) place {
	for _, known := range iptablesPlaces[base.Name] {
		i := slices.IndexFunc(chains, func(c *nftables.Chain) bool {
			return c.Name == known.chain && c.Table.Name == base.Table.Name && c.Table.Family == base.Table.Family
		})
		if i >= 0 {
			return place{known.owner, chains[i], *base.Hooknum}
		}
	}
	return place{"iptables", base, *base.Hooknum}
}

// isPlace reports whether a chain is one that a rule of ours may ever have been put into.
func isPlace(c *nftables.Chain) bool {
	switch c.Name {
	case "DOCKER-USER", "ufw-user-forward", "ufw6-user-forward", "FORWARD", "filter_FORWARD",
		"ufw-user-input", "ufw6-user-input", "INPUT", "filter_INPUT":
		return true
	}
	return false
}
