// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Service is one service that this worker has routes for.
type Service struct {
	// Index is its place in the map services.
	Index     uint32 `json:"index"`
	ServiceID string `json:"service_id"`
	// Addresses are its service addresses; those of single instances stand with the backends.
	Addresses []ServiceAddress `json:"addresses"`
	// Backends counts its instances, UsableBackends those that new flows can be given to.
	Backends       int `json:"backends"`
	UsableBackends int `json:"usable_backends"`
	// Cursor counts the choices of round robin so far; it wraps at 32 bits.
	Cursor uint32 `json:"cursor"`
}

// ServiceAddress is an address and how an instance is chosen behind it: rr, closest or underutilized.
type ServiceAddress struct {
	Address netip.Addr `json:"address"`
	Policy  string     `json:"policy"`
}

// Services lists all services by index.
func (r *Reader) Services() ([]Service, error) {
	t, err := r.routes()
	if err != nil {
		return nil, err
	}
	out := make([]Service, 0, len(t.services))
	for index, s := range t.services {
		cursor, _, err := r.maps.Cursors.Lookup(index)
		if err != nil {
			return nil, fmt.Errorf("read cursor of service %d: %w", index, err)
		}
		one := Service{
			Index: index, ServiceID: bpf.FormatID(s.Id), Addresses: t.addressesOf(index), Backends: len(listed(s)), Cursor: cursor,
		}
		one.UsableBackends = t.usableOf(s)
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Service) int { return cmp.Compare(a.Index, b.Index) })
	return out, nil
}

// usableOf counts the instances that new flows can be given to.
func (t routes) usableOf(s bpf.Service) (n int) {
	for _, b := range listed(s) {
		if t.usable(t.backends[b]) {
			n++
		}
	}
	return n
}

func (t routes) addressesOf(service uint32) []ServiceAddress {
	out := []ServiceAddress{}
	for addr, vip := range t.vips {
		if vip.Service == service && vip.Policy != bpf.PolicyInstance && vip.Policy != bpf.PolicyNone {
			out = append(out, ServiceAddress{addr.Netip(), policyName(vip.Policy)})
		}
	}
	slices.SortFunc(out, func(a, b ServiceAddress) int { return a.Address.Compare(b.Address) })
	return out
}
