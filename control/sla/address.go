// SPDX-License-Identifier: Apache-2.0

package sla

import (
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// addresses reads the service addresses that a user asks for.
func (r *reader) addresses(o *object) *Addresses {
	a := &Addresses{}
	for _, f := range []struct {
		key    string
		policy wire.Policy
		v6     bool
		into   *netip.Addr
	}{
		{"rr_ip", wire.PolicyRoundRobin, false, &a.RRIP},
		{"rr_ip_v6", wire.PolicyRoundRobin, true, &a.RRIPv6},
		{"closest_ip", wire.PolicyClosest, false, &a.ClosestIP},
		{"closest_ip_v6", wire.PolicyClosest, true, &a.ClosestIPv6},
		{"underutilized_ip", wire.PolicyUnderutilized, false, &a.UnderutilizedIP},
		{"underutilized_ip_v6", wire.PolicyUnderutilized, true, &a.UnderutilizedIPv6},
	} {
		if s := o.string(f.key, optional); s != "" {
			*f.into = r.address(o.at(f.key), s, f.policy, f.v6)
		}
	}
	seen := map[netip.Addr]string{}
	for _, s := range a.asked() {
		if first, ok := seen[s.Address]; ok {
			r.fail(o.path, "has %s for both %s and %s", s.Address, first, s.Policy)
		}
		seen[s.Address] = string(s.Policy)
	}
	a.Extra = o.rest()
	return a
}

// Requested returns the addresses that are set, with the policy of each; none if m asks for none.
func (m *Microservice) Requested() []wire.ServiceAddress {
	if m.Addresses == nil {
		return nil
	}
	return m.Addresses.asked()
}

func (a *Addresses) asked() []wire.ServiceAddress {
	var out []wire.ServiceAddress
	for _, s := range []wire.ServiceAddress{
		{Policy: wire.PolicyRoundRobin, Address: a.RRIP},
		{Policy: wire.PolicyRoundRobin, Address: a.RRIPv6},
		{Policy: wire.PolicyClosest, Address: a.ClosestIP},
		{Policy: wire.PolicyClosest, Address: a.ClosestIPv6},
		{Policy: wire.PolicyUnderutilized, Address: a.UnderutilizedIP},
		{Policy: wire.PolicyUnderutilized, Address: a.UnderutilizedIPv6},
	} {
		if s.Address.IsValid() {
			out = append(out, s)
		}
	}
	return out
}

// address checks one address against the family and the range of its policy.
func (r *reader) address(path, s string, p wire.Policy, v6 bool) netip.Addr {
	family := "IPv4"
	if v6 {
		family = "IPv6"
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Is6() != v6 || a.Is4In6() || a.Zone() != "" {
		r.fail(path, "%q is no %s address", clip(s), family)
		return netip.Addr{}
	}
	if r.options.Ranges == (wire.Ranges{}) {
		return a
	}
	within := semantic.PrefixFor(r.options.Ranges, p, v6)
	if !within.Contains(a) {
		r.fail(path, "%s lies outside %s, the range of such addresses", a, within)
	} else if last, _ := semantic.Host(within, semantic.HostCount(within)-1); a == within.Addr() || !v6 && last.Less(a) {
		r.fail(path, "%s names the range %s itself or is its broadcast address: choose one between", a, within)
	}
	return a
}
