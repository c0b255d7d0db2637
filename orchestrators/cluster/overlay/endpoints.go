// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const (
	publicKeyLength = 32
	maxTag          = 1<<24 - 1
)

// SetEndpoints takes in what endpoints a worker has. It reports whether that changed anything, and what was refused and why.
// An endpoint of a generation that is not placed there is kept, but becomes neither route nor source until it is.
func (c *Core) SetEndpoints(id string, m wire.NetEndpoints, live bool) (changed bool, refused []string) {
	w := c.workers[id]
	if w == nil || w.abroad {
		return false, []string{"the worker is unknown"}
	}
	if m.Compare(w.heardEndpoints) < 0 {
		return false, nil
	}
	w.heardEndpoints = m.Stamp
	if !w.settled && live {
		w.settled = true
		c.Settle()
	}
	if len(m.PublicKey) != publicKeyLength {
		return false, []string{fmt.Sprintf("public key has %d bytes, not %d", len(m.PublicKey), publicKeyLength)}
	}
	outer := slices.DeleteFunc(slices.Clone(m.Outer), func(a netip.AddrPort) bool { return !a.IsValid() })
	if len(outer) > MaxOuter {
		refused = append(refused, fmt.Sprintf("%d outer addresses, only %d are kept", len(outer), MaxOuter))
		outer = outer[:MaxOuter]
	}
	if nat := m.NAT; nat != wire.NATNone && nat != wire.NATPlain && nat != wire.NATSymmetric {
		refused = append(refused, fmt.Sprintf("kind of NAT %.20q is unknown", nat))
		m.NAT = wire.NATNone
	}
	endpoints := make(map[wire.InstanceKey]wire.NetEndpoint, len(m.Endpoints))
	for _, e := range m.Endpoints {
		if why := w.refuse(&e); why != "" {
			refused = append(refused, e.String()+": "+why)
			continue
		}
		if len(endpoints) == MaxEndpoints {
			refused = append(refused, fmt.Sprintf("only the first %d endpoints are kept", MaxEndpoints))
			break
		}
		if have, ok := endpoints[e.InstanceKey]; !ok || e.Generation.Compare(have.Generation) > 0 {
			endpoints[e.InstanceKey] = e
		}
	}
	if bytes.Equal(w.publicKey, m.PublicKey) && slices.Equal(w.outer, outer) && w.nat == m.NAT && maps.Equal(w.endpoints, endpoints) {
		return false, refused
	}
	c.touch(w)
	w.publicKey, w.outer, w.nat, w.endpoints = m.PublicKey, outer, m.NAT, endpoints
	c.touch(w)
	return true, refused
}

// PublicKey returns the key of the NetManager of a worker of this cluster, nil while it is unknown.
func (c *Core) PublicKey(id string) []byte {
	if w := c.workers[id]; w != nil && !w.abroad {
		return w.publicKey
	}
	return nil
}

// refuse says why an endpoint cannot be this worker's, or returns "".
func (w *worker) refuse(e *wire.NetEndpoint) string {
	within := func(a netip.Addr) bool {
		return slices.ContainsFunc(w.subnets, func(p netip.Prefix) bool { return p.Contains(a) && a != p.Addr() && a != p.Addr().Next() })
	}
	switch {
	case !e.NamespaceIP.Is4():
		return "it has no IPv4 namespace address"
	case !within(e.NamespaceIP):
		return fmt.Sprintf("namespace address %s is outside the worker's subnets", e.NamespaceIP)
	case e.NamespaceIPv6.IsValid() && !within(e.NamespaceIPv6):
		return fmt.Sprintf("namespace address %s is outside the worker's subnets", e.NamespaceIPv6)
	case e.Tag == 0 || e.Tag > maxTag:
		return fmt.Sprintf("tag %d is not of 24 bits", e.Tag)
	}
	return ""
}

// endpointOf returns the endpoint of a copy, if its worker has attached that generation.
func (c *Core) endpointOf(service string, x *Copy) (wire.NetEndpoint, bool) {
	w := c.workers[x.Worker]
	if w == nil {
		return wire.NetEndpoint{}, false
	}
	e, ok := w.endpoints[wire.InstanceKey{ServiceID: service, Number: x.Number}]
	return e, ok && e.Generation == x.Generation
}

// copyOf returns the placed copy that a worker's endpoint belongs to, or nil if none is placed there.
func (c *Core) copyOf(w *worker, e *wire.NetEndpoint) *Copy {
	s := c.services[e.ServiceID]
	if s == nil {
		return nil
	}
	for i := range s.Copies {
		if x := &s.Copies[i]; x.Number == e.Number && x.Generation == e.Generation && x.Worker == w.id {
			return x
		}
	}
	return nil
}
