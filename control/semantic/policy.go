// SPDX-License-Identifier: Apache-2.0

package semantic

import (
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// policyBits is how much longer the prefix of one policy is than the range that it lies in: a digit that names the policy
// and a bit left for growth, so /21 in the /16 of [DefaultRanges].
const policyBits = 5

// Policies lists the policies in the order of their IPv6 ranges.
func Policies() []wire.Policy {
	return []wire.Policy{wire.PolicyInstance, wire.PolicyClosest, wire.PolicyRoundRobin, wire.PolicyUnderutilized}
}

// PolicyPrefixV6 returns the part of the IPv6 service range in which addresses of policy p lie; by default fdff:0000::/21
// for Instance IPs, fdff:1000::/21 closest, fdff:2000::/21 round robin and fdff:3000::/21 underutilized. The result is not
// valid for an unknown policy. IPv4 addresses of all policies share one range and do not tell their policy.
func PolicyPrefixV6(r wire.Ranges, p wire.Policy) netip.Prefix {
	for digit, q := range Policies() {
		if q != p {
			continue
		}
		a := r.ServicesV6.Masked().Addr().As16()
		bits := r.ServicesV6.Bits()
		for i := range 4 { // the four bits after the prefix hold the digit, highest bit first
			if digit>>(3-i)&1 == 1 {
				at := bits + i
				a[at/8] |= 0x80 >> (at % 8)
			}
		}
		return netip.PrefixFrom(netip.AddrFrom16(a), bits+policyBits)
	}
	return netip.Prefix{}
}

// PolicyOfV6 returns the policy that the IPv6 address a stands for, and false if a lies in no policy's range.
func PolicyOfV6(r wire.Ranges, a netip.Addr) (wire.Policy, bool) {
	for _, p := range Policies() {
		if PolicyPrefixV6(r, p).Contains(a) {
			return p, true
		}
	}
	return "", false
}

// PrefixFor returns where addresses of policy p lie for the family asked for.
func PrefixFor(r wire.Ranges, p wire.Policy, v6 bool) netip.Prefix {
	if v6 {
		return PolicyPrefixV6(r, p)
	}
	return r.ServicesV4
}
