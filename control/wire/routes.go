// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"cmp"
	"net/netip"
	"slices"
)

// NetRoutes is the whole set of routes of one service. An empty Instances is a statement: nothing runs.
//
// With Base it is a change instead, of the routes of that service with that stamp: Instances are those that came or are different now,
// Without those that went; name, addresses and ports are as they were, and not told. Only a worker whose interest says that it takes
// changes is sent one. Who holds routes of another stamp ignores it, and declares its interest again, upon which it is sent all.
type NetRoutes struct {
	Header
	ServiceID string           `json:"service_id"`
	JobName   string           `json:"job_name"`
	Addresses []ServiceAddress `json:"addresses"`
	Ports     []Port           `json:"ports,omitempty"`
	Instances []RouteInstance  `json:"instances"`
	Base      Stamp            `json:"base,omitzero"`
	// Without are the numbers of instances that went.
	Without []int `json:"without,omitempty"`
	// Gone says that the service exists no more: its addresses lose their meaning.
	Gone bool `json:"gone,omitempty"`
}

// RouteInstance is where one instance of a service is.
type RouteInstance struct {
	Number       int        `json:"instance_number"`
	Generation   Generation `json:"generation"`
	InstanceIP   netip.Addr `json:"instance_ip"`
	InstanceIPv6 netip.Addr `json:"instance_ipv6"`
	// Peer is the id of the worker that runs it.
	Peer          string     `json:"peer"`
	NamespaceIP   netip.Addr `json:"namespace_ip"`
	NamespaceIPv6 netip.Addr `json:"namespace_ipv6"`
	Tag           uint32     `json:"tag"`
	// State is [StateRunning] for an instance that new flows may choose, [StateCreated] for one that only keeps its flows and is reached
	// by its own address: it is about to run, or its readiness probe fails.
	State State `json:"state"`
	// Load says how little the instance can take on, 0 to 1: its processor use over its limit, or its worker's over all that the worker
	// has, whichever is more. It comes in steps, and no more often than every few seconds. Nil if unknown.
	Load *float64 `json:"load,omitempty"`
	// Location is where the worker is; nil if unknown.
	Location *Location `json:"location,omitempty"`
}

// IsChange reports whether m is a change of other routes.
func (m *NetRoutes) IsChange() bool { return !m.Base.IsZero() }

// Apply returns the whole routes that the change m makes of those held, which it leaves as they are. Instances are in the order of their
// numbers. It reports false if m is a change of other routes than those: then the whole has to be asked for.
func (m *NetRoutes) Apply(held *NetRoutes) (whole NetRoutes, ok bool) {
	if held.Stamp != m.Base || held.ServiceID != m.ServiceID || held.IsChange() {
		return NetRoutes{}, false
	}
	whole = *held
	whole.Header = m.Header
	news := make(map[int]struct{}, len(m.Instances)+len(m.Without))
	for _, i := range m.Instances {
		news[i.Number] = struct{}{}
	}
	for _, n := range m.Without {
		news[n] = struct{}{}
	}
	whole.Instances = make([]RouteInstance, 0, len(held.Instances)+len(m.Instances))
	for _, i := range held.Instances {
		if _, other := news[i.Number]; !other {
			whole.Instances = append(whole.Instances, i)
		}
	}
	whole.Instances = append(whole.Instances, m.Instances...)
	slices.SortStableFunc(whole.Instances, func(a, b RouteInstance) int { return cmp.Compare(a.Number, b.Number) })
	return whole, true
}
