// SPDX-License-Identifier: Apache-2.0

package semantic

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Sizes of a worker's subnets and the number of them that root leases to a cluster at once.
const (
	// WorkerBitsV4 is the prefix length of a worker's IPv4 subnet: 64 addresses.
	WorkerBitsV4 = 26
	// WorkerBitsV6 is the prefix length of a worker's IPv6 subnet: 256 addresses.
	WorkerBitsV6 = 120
	// BlockSubnets is how many worker subnets root leases to a cluster in one block.
	BlockSubnets = 16
	// BlockLow is the number of free worker subnets below which a cluster gets another block.
	BlockLow = 4
)

// DefaultRanges returns the ranges of an installation that configures none: those of earlier releases, so that addresses
// in users' descriptors keep their meaning. Of fc00::/7 only the first /16 is taken, so that private networks numbered
// from fd00::/8, where RFC 4193 puts them, do not overlap the overlay.
func DefaultRanges() wire.Ranges {
	return wire.Ranges{
		WorkersV4:  netip.MustParsePrefix("10.18.0.0/16"),
		WorkersV6:  netip.MustParsePrefix("fc00::/16"),
		ServicesV4: netip.MustParsePrefix("10.30.0.0/16"),
		ServicesV6: netip.MustParsePrefix("fdff::/16"),
	}
}

// ErrRanges is wrapped by every error of [CheckRanges].
var ErrRanges = errors.New("address ranges are unusable")

// CheckRanges returns an error that names the key at fault if an installation cannot work with r.
func CheckRanges(r wire.Ranges) error {
	named := []struct {
		key    string
		prefix netip.Prefix
		v4     bool
		// longest is the longest prefix that leaves room for a block of subnets, or for the policies.
		longest int
	}{
		{"workers_v4", r.WorkersV4, true, WorkerBitsV4 - 4},
		{"workers_v6", r.WorkersV6, false, WorkerBitsV6 - 4},
		{"services_v4", r.ServicesV4, true, 28},
		{"services_v6", r.ServicesV6, false, 104},
	}
	for i, n := range named {
		switch {
		case !n.prefix.IsValid():
			return fmt.Errorf("%w: %s is not set", ErrRanges, n.key)
		case n.prefix.Addr().Is4() != n.v4 || n.prefix.Addr().Is4In6():
			return fmt.Errorf("%w: %s is %s, which is of the wrong address family", ErrRanges, n.key, n.prefix)
		case n.prefix != n.prefix.Masked():
			return fmt.Errorf("%w: %s is %s, which has host bits set: write %s", ErrRanges, n.key, n.prefix, n.prefix.Masked())
		case n.prefix.Bits() > n.longest:
			return fmt.Errorf("%w: %s is %s, which is too small: use a prefix of /%d or shorter", ErrRanges, n.key, n.prefix, n.longest)
		}
		for _, o := range named[:i] {
			if o.prefix.Overlaps(n.prefix) {
				return fmt.Errorf("%w: %s %s overlaps %s %s", ErrRanges, n.key, n.prefix, o.key, o.prefix)
			}
		}
	}
	return nil
}

// ContainsService reports whether a is a service address or an Instance IP of an installation with ranges r.
func ContainsService(r wire.Ranges, a netip.Addr) bool {
	return r.ServicesV4.Contains(a) || r.ServicesV6.Contains(a)
}

// ContainsWorker reports whether a lies where worker subnets come from.
func ContainsWorker(r wire.Ranges, a netip.Addr) bool {
	return r.WorkersV4.Contains(a) || r.WorkersV6.Contains(a)
}
