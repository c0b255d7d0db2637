// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// What becomes of a new flow.
const (
	// GoesToInstance is given to the chosen instance.
	GoesToInstance = "instance"
	// GoesNowhere is dropped or refused; the reason is told.
	GoesNowhere = "nowhere"
	// GoesToManager waits while NetManager asks the cluster.
	GoesToManager = "manager"
	// GoesToHost is left to the host's stack: for the host itself, or for the outside.
	GoesToHost = "host"
)

// Resolution is which instance a new flow from here would get, and why.
type Resolution struct {
	Address   netip.Addr `json:"address"`
	ServiceID string     `json:"service_id"`
	Policy    string     `json:"policy"`
	// Goes is instance, nowhere, manager or host.
	Goes string `json:"goes"`
	// Drop is the reason under which packets are counted that go nowhere.
	Drop string `json:"drop"`
	// Why is for a person.
	Why string `json:"why"`
	// Chosen is the instance, null where there is none; Candidates are all, in turn.
	Chosen     *Candidate  `json:"chosen"`
	Candidates []Candidate `json:"candidates"`
}

// Resolve tells what the programs would do with a flow that a container here opens now to an address. Another flow in between moves the
// turn on.
func (r *Reader) Resolve(addr netip.Addr) (Resolution, error) {
	t, err := r.routesOf(bpf.AddrFrom(addr))
	if err != nil {
		return Resolution{}, fmt.Errorf("read routes: %w", err)
	}
	out := Resolution{Address: addr, Goes: GoesNowhere, Candidates: []Candidate{}}
	vip, known := t.vips[bpf.AddrFrom(addr)]
	if !known {
		return out, r.resolveUnknown(&out)
	}
	out.Policy, out.ServiceID = policyName(vip.Policy), bpf.FormatID(t.services[vip.Service].Id)
	if vip.Policy == bpf.PolicyNone {
		out.Drop, out.Why = "no_service", "the cluster has said that nobody has this address"
		return out, nil
	}
	pending, held, err := r.maps.Pending.Lookup(bpf.AddrFrom(addr))
	if err != nil {
		return out, fmt.Errorf("read held addresses: %w", err)
	}
	if out.Candidates, err = r.candidates(t, vip, addr); err != nil {
		return out, err
	}
	chosen, why := choose(vip.Policy, out.Candidates)
	switch {
	case chosen < 0:
		out.Drop, out.Why = "no_backend", why
		if len(out.Candidates) == 1 {
			out.Why += ": " + out.Candidates[0].Unusable
		}
	default:
		out.Goes, out.Why, out.Chosen = GoesToInstance, why, &out.Candidates[chosen]
		if held && waiting(pending) > 0 {
			out.Why += fmt.Sprintf("; first packets wait at NetManager (%d), and others queue behind them for a moment", waiting(pending))
		}
	}
	return out, nil
}

// routesOf reads no more than how one address leads to instances.
func (r *Reader) routesOf(addr bpf.Addr) (routes, error) {
	t := routes{
		now: r.clock.Monotonic, vips: map[bpf.Addr]bpf.VIP{}, services: map[uint32]bpf.Service{},
		backends: map[uint32]bpf.Backend{}, peers: map[uint32]bpf.Peer{},
	}
	vip, ok, err := r.maps.VIPs.Lookup(addr)
	if err != nil || !ok {
		return t, err
	}
	t.vips[addr] = vip
	service, _, err := r.maps.Services.Lookup(vip.Service)
	if err != nil {
		return t, err
	}
	t.services[vip.Service] = service
	for _, index := range append(slices.Clone(listed(service)), vip.Backend) {
		b, _, err := r.maps.Backends.Lookup(index)
		if err != nil {
			return t, err
		}
		t.backends[index] = b
		if t.peers[b.Peer], _, err = r.maps.Peers.Lookup(b.Peer); err != nil {
			return t, err
		}
	}
	t.health, err = r.health(t.peers)
	return t, err
}

// NamespaceOf returns the address inside that is of the same family as another; the zero one if there is none.
func (a InstanceAddresses) NamespaceOf(like netip.Addr) netip.Addr {
	if like.Is6() {
		return a.NamespaceIPv6
	}
	return a.NamespaceIP
}

// candidates lists what an address stands for, in turn.
func (r *Reader) candidates(t routes, vip bpf.VIP, addr netip.Addr) ([]Candidate, error) {
	indices, start := []uint32{vip.Backend}, 0
	if vip.Policy != bpf.PolicyInstance {
		cursor, _, err := r.maps.Cursors.Lookup(vip.Service)
		if err != nil {
			return nil, fmt.Errorf("read cursor of service %d: %w", vip.Service, err)
		}
		if indices = listed(t.services[vip.Service]); len(indices) > 0 {
			start = int(cursor % uint32(len(indices)))
		}
	}
	out := make([]Candidate, 0, len(indices))
	for turn := range indices {
		index := indices[(start+turn)%len(indices)]
		b := t.backends[index]
		weights, err := r.weights(index, b, t.health)
		if err != nil {
			return nil, err
		}
		c := Candidate{
			Turn: turn, Backend: index, Number: b.Number, InstanceAddresses: addressesOf(b),
			Local: b.Peer == 0, WorkerID: bpf.FormatID(t.peers[b.Peer].Id), Peer: b.Peer,
			Unusable: t.unusable(b, addr), Weights: weights,
		}
		c.Usable = c.Unusable == ""
		out = append(out, c)
	}
	return out, nil
}

// unusable says why no new flow to an address may go to a backend; "" if one may.
func (t routes) unusable(b bpf.Backend, addr netip.Addr) string {
	switch {
	case b.Generation == 0:
		return "the instance is gone"
	case !addressesOf(b).NamespaceOf(addr).IsValid():
		return "it has no address of this family"
	case t.usable(b):
		return ""
	case t.peers[b.Peer].State == bpf.PeerUp:
		return "its worker answers no echoes"
	case natReason(t.peers[b.Peer].State) != "":
		return "its worker cannot be reached from here: " + natReason(t.peers[b.Peer].State)
	case t.peers[b.Peer].State == bpf.PeerUnreachable:
		return "its worker cannot be reached"
	}
	return "its worker was never met"
}

// resolveUnknown is for addresses that nothing is known of.
func (r *Reader) resolveUnknown(out *Resolution) error {
	c, err := r.config()
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	m, err := r.manager()
	if err != nil {
		return fmt.Errorf("read heartbeat: %w", err)
	}
	a := out.Address
	within := func(v4, v6 netip.Prefix) bool {
		return v4.IsValid() && v4.Contains(a) || v6.IsValid() && v6.Contains(a)
	}
	switch {
	case a == c.Gateway || a == c.GatewayV6:
		out.Goes, out.Why = GoesToHost, "it is the gateway: the worker itself"
	case within(c.WorkerRange, c.WorkerRangeV6):
		out.Drop, out.Why = "namespace_ip", "it is an address inside a container, which only the worker itself may call; use the instance's or a service's"
	case !within(c.ServiceRange, c.ServiceRangeV6):
		out.Goes, out.Why = GoesToHost, "it is no overlay address: the host's stack sends it outside"
	case m.State == "alive":
		out.Goes, out.Why = GoesToManager, "it is not known here yet: the first packets wait while NetManager asks the cluster"
	default:
		out.Drop, out.Why = "no_manager", "it is not known here, and NetManager is dead, who would ask the cluster"
	}
	return nil
}

// ServiceAddresses lists the addresses of the services and instances that a key means: a service's id, or its beginning, with .NUMBER for
// one instance's.
func (r *Reader) ServiceAddresses(means func(key string) bool) ([]netip.Addr, error) {
	found, err := r.Routes()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, one := range found {
		switch {
		case one.Kind == RouteService && means(one.ServiceID), one.Kind == RouteInstance && means(fmt.Sprintf("%s.%d", one.ServiceID, deref(one.Number))):
			out = append(out, one.Address)
		}
	}
	return out, nil
}
