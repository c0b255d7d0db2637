// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// over is what a worker knows of the overlay. Its methods want the worker's lock held.
type over struct {
	// ready is set once the subnets are known.
	ready atomic.Bool
	node  wire.NetNode
	// used are the places in the subnet that have an owner.
	used map[int]struct{}
	// endpoints and interest are set while they are to be told.
	endpoints, interest bool
	wanted              map[netip.Addr]*wanted
	routes              map[string]*heard // by service
	peers               wire.Stamp        // of the list that it holds
	peerIDs             map[string]struct{}
}

// wanted is an address that routes are wanted of.
type wanted struct {
	since   time.Time
	service string // "" until it is known
}

// heard is the table of what a worker was told of a service: the instances that run.
type heard struct {
	stamp wire.Stamp
	up    map[int]wire.Generation
	// asks is set while changes came of others than those, and the whole is asked for; until is when that may be done again, wait how long
	// that is after the last time.
	asks  bool
	until time.Time
	wait  time.Duration
}

// Times of asking for the whole of routes, those of NetManager.
const (
	gapLeast = 100 * time.Millisecond
	gapMost  = 30 * time.Second
)

func newOver() over {
	return over{used: map[int]struct{}{}, wanted: map[netip.Addr]*wanted{}, routes: map[string]*heard{}}
}

// reserved are the first addresses of a subnet: its own, and the gateway's.
const reserved = 2

// attach gives a container addresses of the worker's subnet, or says what is missing.
func (o *over) attach(c *container, tag uint32) (e *wire.NetEndpoint, why string) {
	i := slices.IndexFunc(o.node.Subnets, func(p netip.Prefix) bool { return p.Addr().Is4() })
	if i < 0 {
		return nil, "waits for the overlay: no subnet is known yet"
	}
	subnet := o.node.Subnets[i]
	room := 1 << (32 - subnet.Bits())
	for n := reserved; n < room-1; n++ {
		if _, ok := o.used[n]; ok {
			continue
		}
		o.used[n] = struct{}{}
		e = &wire.NetEndpoint{InstanceKey: c.InstanceKey, Generation: c.Generation, NamespaceIP: at(subnet, n), Tag: tag}
		if i := slices.IndexFunc(o.node.Subnets, func(p netip.Prefix) bool { return p.Addr().Is6() }); i >= 0 {
			e.NamespaceIPv6 = at(o.node.Subnets[i], n)
		}
		return e, ""
	}
	return nil, "waits for the overlay: the worker's subnet is full"
}

func (o *over) detach(c *container) {
	if c.endpoint == nil {
		return
	}
	i := slices.IndexFunc(o.node.Subnets, func(p netip.Prefix) bool { return p.Addr().Is4() })
	for n := range o.used {
		if i >= 0 && at(o.node.Subnets[i], n) == c.endpoint.NamespaceIP {
			delete(o.used, n)
		}
	}
	c.endpoint = nil
	o.endpoints = true
}

// at returns the n-th address of a prefix; n is less than 2^16.
func at(p netip.Prefix, n int) netip.Addr {
	b := p.Addr().AsSlice()
	low := int(b[len(b)-2])<<8 | int(b[len(b)-1]) + n
	b[len(b)-2], b[len(b)-1] = byte(low>>8), byte(low)
	a, _ := netip.AddrFromSlice(b)
	return a
}

// want replaces the set of addresses.
func (o *over) want(addresses []netip.Addr, now time.Time) {
	old := o.wanted
	o.wanted = make(map[netip.Addr]*wanted, len(addresses))
	for _, a := range addresses {
		if have := old[a]; have != nil {
			o.wanted[a] = have
		} else {
			o.wanted[a] = &wanted{since: now}
		}
	}
	o.interest = true
}

// declaration is the interest as it is sent.
func (o *over) declaration() wire.NetInterest {
	m := wire.NetInterest{Addresses: []wire.InterestAddress{}, Peers: o.peers, PeerChanges: true, RouteChanges: true}
	for a, w := range o.wanted {
		entry := wire.InterestAddress{Address: a}
		if h := o.routes[w.service]; h != nil && !h.asks {
			entry.Held = h.stamp
		}
		m.Addresses = append(m.Addresses, entry)
	}
	return m
}

// sinceOf returns since when a service has been wanted: zero if it is not. What it says of the service's addresses, if anything, is noted.
func (o *over) sinceOf(service string, addresses []wire.ServiceAddress) (since time.Time) {
	for _, a := range addresses {
		if w := o.wanted[a.Address]; w != nil {
			w.service = service
		}
	}
	for _, w := range o.wanted {
		if w.service == service {
			if since.IsZero() || w.since.Before(since) {
				since = w.since
			}
		}
	}
	return since
}
