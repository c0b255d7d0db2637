// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/oakestra/oakestra-ebpf/bpf"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// plan is what the maps should hold for a service.
type plan struct {
	backends []plannedBackend // by instance number
	vips     map[bpf.Addr]plannedVIP
	// chosen says that an instance can be chosen; awaited, that another one will be when its peer is met.
	chosen, awaited bool
}

type plannedBackend struct {
	at     backendKey
	value  bpf.Backend
	chosen bool // packets can get there, and it is ready for them
	ready  bool // packets can get there
	// hopeless says that they cannot, however long they wait.
	hopeless bool
}

type plannedVIP struct {
	policy  uint32
	backend *plannedBackend // of an Instance IP; nil if packets cannot be sent there yet
}

// largestTag is what fits into a VNI.
const largestTag = 1<<24 - 1

// plan works out what the maps should hold from the routes, the peers and the local endpoints.
func (t *Table) plan(s *service) plan {
	p := plan{vips: map[bpf.Addr]plannedVIP{}}
	instances := slices.Clone(s.routes.Instances)
	slices.SortFunc(instances, func(a, b wire.RouteInstance) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), b.Generation.Compare(a.Generation))
	})
	instances = slices.CompactFunc(instances, func(a, b wire.RouteInstance) bool { return a.Number == b.Number })

	p.backends = make([]plannedBackend, 0, len(instances)) // pointers into it are kept
	for _, instance := range instances {
		value, ready, ok := t.backend(s, instance)
		running := instance.State == wire.StateRunning && !s.distrusts(instance)
		var at *plannedBackend
		if ok {
			p.backends = append(p.backends, plannedBackend{
				at: backendKey{instance.Number, instance.Generation}, value: value, ready: ready, chosen: ready && running,
			})
			at = &p.backends[len(p.backends)-1]
		}
		p.chosen = p.chosen || ready && running
		hopeless := !ready && t.cfg.Peers.Unreachable(instance.Peer)
		if at != nil {
			at.hopeless = hopeless
		}
		p.awaited = p.awaited || !ready && !hopeless && running
		for _, ip := range []netip.Addr{instance.InstanceIP, instance.InstanceIPv6} {
			if usableAddr(ip) {
				p.vips[bpf.AddrFrom(ip)] = plannedVIP{bpf.PolicyInstance, at}
			}
		}
	}
	for _, a := range s.routes.Addresses {
		if policy, ok := policies[a.Policy]; ok && usableAddr(a.Address) {
			p.vips[bpf.AddrFrom(a.Address)] = plannedVIP{policy: policy}
		}
	}
	return p
}

var policies = map[wire.Policy]uint32{
	wire.PolicyRoundRobin:    bpf.PolicyRoundRobin,
	wire.PolicyClosest:       bpf.PolicyClosest,
	wire.PolicyUnderutilized: bpf.PolicyUnderutilized,
}

// backend returns an instance as a target and whether packets can get there now; ok is false if it cannot be written down yet, since
// its worker is unknown or it is not attached here.
func (t *Table) backend(s *service, instance wire.RouteInstance) (value bpf.Backend, ready, ok bool) {
	value = bpf.Backend{
		Generation: instance.Generation.Packed(), Service: s.index, Number: uint32(instance.Number),
		Tag: instance.Tag, Distance: distance(t.here, instance.Location), Load: load(instance.Load),
	}
	inst := [2]netip.Addr{instance.InstanceIP, instance.InstanceIPv6}
	value.SetAddrs([2]netip.Addr{}, inst)
	if value.Generation == 0 {
		return value, false, false
	}
	if instance.Peer == t.cfg.WorkerID {
		endpoint, attached := t.cfg.LocalEndpoint(wire.InstanceKey{ServiceID: s.id, Number: instance.Number}, instance.Generation)
		if !attached {
			return value, false, false
		}
		value.SetAddrs([2]netip.Addr{endpoint.Ns[bpf.V4].Netip(), endpoint.Ns[bpf.V6].Netip()}, inst)
		value.Tag, value.Ifindex, value.Distance = endpoint.Tag, endpoint.Ifindex, 0
		return value, true, true
	}
	value.SetAddrs([2]netip.Addr{instance.NamespaceIP, instance.NamespaceIPv6}, inst)
	if instance.Tag == 0 || instance.Tag > largestTag || !instance.NamespaceIP.IsValid() && !instance.NamespaceIPv6.IsValid() {
		return value, false, false
	}
	value.Peer, ready = t.cfg.Peers.Index(instance.Peer)
	return value, ready, value.Peer != 0
}

func usableAddr(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast()
}
