// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"cmp"
	"net/netip"
)

// NameKey is a name that a container asked for. Names are unique for an organisation, so who asks is part of it.
type NameKey struct {
	// Organization is the id of the organisation that owns the asking container.
	Organization string `json:"organization"`
	// Name is in lower case and without the final dot: a service's or instance's below "oak", or the reverse name of an address.
	Name string `json:"name"`
}

// Compare orders keys by organisation, then by name.
func (k NameKey) Compare(o NameKey) int {
	return cmp.Or(cmp.Compare(k.Organization, o.Organization), cmp.Compare(k.Name, o.Name))
}

// InterestName is a name that a worker wants, and the stamp of the answer that it holds.
type InterestName struct {
	NameKey
	Held Stamp `json:"held"`
}

// ResolvedName is the answer for one name.
type ResolvedName struct {
	NameKey
	// Resolution is [ResolvedService] for a name that stands for something.
	Resolution Resolution `json:"resolution"`
	// Addresses are what a service's or instance's name stands for, of both families.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Target is the name that a reverse name stands for.
	Target string `json:"target,omitempty"`
}
