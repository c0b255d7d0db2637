// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// Kinds of routes.
const (
	// RouteService is the address of a service: an instance is chosen for each flow.
	RouteService = "service"
	// RouteInstance is an Instance IP that flows from here can be opened to.
	RouteInstance = "instance"
	// RouteRefused is an address that nobody has: asked for, and remembered for a while.
	RouteRefused = "refused"
	// RouteHeld is an address that NetManager is asking for: its first packets wait.
	RouteHeld = "held"
	// RouteSource is an Instance IP that packets of another worker may come from.
	RouteSource = "source"
	// RouteLocal is a namespace address of an instance here.
	RouteLocal = "local"
)

// Route is what the datapath does with an overlay address.
type Route struct {
	Address netip.Addr `json:"address"`
	Kind    string     `json:"kind"`
	// Policy says how an instance is chosen: rr, closest, underutilized or instance; empty of other kinds.
	Policy    string `json:"policy"`
	ServiceID string `json:"service_id"`
	// Number is that of the instance, null of a service.
	Number     *uint32 `json:"instance_number"`
	Generation string  `json:"generation"`
	// Backends counts the instances behind it, UsableBackends those that new flows can be given to.
	Backends       int `json:"backends"`
	UsableBackends int `json:"usable_backends"`
	// Local says that the instance is on this worker; else Peer and WorkerID say where.
	Local    bool   `json:"local"`
	Peer     uint32 `json:"peer"`
	WorkerID string `json:"worker_id"`
	// Ifindex and Interface are those of the local endpoint.
	Ifindex   uint32 `json:"ifindex"`
	Interface string `json:"interface"`
	// Waiting counts packets that went up to NetManager and did not come back yet.
	Waiting uint64 `json:"waiting"`
}

// Routes lists what the datapath does with each overlay address, by kind and address.
func (r *Reader) Routes() ([]Route, error) {
	t, err := r.routes()
	if err != nil {
		return nil, err
	}
	pending, err := collect(r.maps.Pending, all[bpf.Pending])
	if err != nil {
		return nil, fmt.Errorf("read held addresses: %w", err)
	}
	var out []Route
	for addr, vip := range t.vips {
		one := r.routeOf(t, addr, vip)
		one.Waiting = waiting(pending[addr])
		out = append(out, one)
	}
	for addr, p := range pending {
		if _, known := t.vips[addr]; !known {
			out = append(out, Route{Address: addr.Netip(), Kind: RouteHeld, Waiting: waiting(p)})
		}
	}
	beyond, err := r.routesBeyond(t)
	if err != nil {
		return nil, err
	}
	out = append(out, beyond...)
	slices.SortFunc(out, func(a, b Route) int {
		return cmp.Or(cmp.Compare(rank(a.Kind), rank(b.Kind)), a.Address.Compare(b.Address))
	})
	return out, nil
}

func rank(kind string) int {
	return slices.Index([]string{RouteService, RouteInstance, RouteRefused, RouteHeld, RouteLocal, RouteSource}, kind)
}

func waiting(p bpf.Pending) uint64 {
	if p.Down > p.Up {
		return 0
	}
	return p.Up - p.Down
}

func (r *Reader) routeOf(t routes, addr bpf.Addr, vip bpf.VIP) Route {
	one := Route{Address: addr.Netip(), ServiceID: bpf.FormatID(t.services[vip.Service].Id)}
	switch vip.Policy {
	case bpf.PolicyNone:
		one.Kind = RouteRefused
	case bpf.PolicyInstance:
		b := t.backends[vip.Backend]
		one.Kind, one.Policy, one.Number, one.Generation = RouteInstance, policyName(vip.Policy), &b.Number, generation(b.Generation)
		one.Backends, one.Local, one.Peer, one.WorkerID = 1, b.Peer == 0, b.Peer, bpf.FormatID(t.peers[b.Peer].Id)
		one.Ifindex, one.Interface = b.Ifindex, r.names[b.Ifindex]
		if t.usable(b) {
			one.UsableBackends = 1
		}
	default:
		s := t.services[vip.Service]
		one.Kind, one.Policy, one.Backends = RouteService, policyName(vip.Policy), len(listed(s))
		one.UsableBackends = t.usableOf(s)
	}
	return one
}

// routesBeyond lists the addresses that no flow from here is translated to: those of instances here and of callers on other workers.
func (r *Reader) routesBeyond(t routes) ([]Route, error) {
	var err error
	var out []Route
	endpoints, err := r.endpoints()
	if err != nil {
		return nil, fmt.Errorf("read endpoints: %w", err)
	}
	for addr, ifindex := range r.maps.Local.All(&err) {
		one := Route{Address: addr.Netip(), Kind: RouteLocal, Local: true, Ifindex: ifindex, Interface: r.names[ifindex]}
		if e, ok := endpoints[ifindex]; ok {
			one.ServiceID, one.Number, one.Generation = bpf.FormatID(e.Service), &e.Number, generation(e.Generation)
		}
		out = append(out, one)
	}
	if err != nil {
		return nil, fmt.Errorf("read local addresses: %w", err)
	}
	for addr, s := range r.maps.Sources.All(&err) {
		out = append(out, Route{
			Address: addr.Netip(), Kind: RouteSource, Generation: generation(s.Generation), Peer: s.Peer, WorkerID: bpf.FormatID(t.peers[s.Peer].Id),
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read sources: %w", err)
	}
	return out, nil
}
