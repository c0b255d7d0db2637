// SPDX-License-Identifier: Apache-2.0

package abroad

import (
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/geo"
	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/semantic"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Bounds of what a cluster can have stored.
const (
	maxWorkers   = 4096
	maxWants     = 16384
	maxNames     = 16384
	maxOffers    = 8192
	maxInstances = 1024 // a service
	maxOuter     = 16
	maxSources   = 4096 // a worker
	maxSubnets   = 64   // a worker
	maxTag       = 1<<24 - 1
	keyLength    = 32
	maxWord      = 64
	maxReasons   = 8
)

// clean leaves out of a message what cannot be, given the subnets of the cluster's workers. Much of it comes from workers, of which one may
// lie: that must not spoil what the cluster says of others.
func clean(in *wire.ClusterOverlay, subnets map[netip.Prefix]bool) (refused []string) {
	refuse := func(format string, args ...any) bool {
		if len(refused) < maxReasons {
			refused = append(refused, fmt.Sprintf(format, args...))
		}
		return true
	}
	within := func(a netip.Addr) bool {
		bits := semantic.WorkerBitsV4
		if a.Is6() {
			bits = semantic.WorkerBitsV6
		}
		p, err := a.Prefix(bits)
		return err == nil && subnets[p]
	}
	in.Workers = slices.DeleteFunc(cut(in.Workers, maxWorkers), func(w wire.NetPeer) bool {
		switch {
		case !pki.ValidID(w.WorkerID) || len(w.PublicKey) != keyLength:
			return refuse("worker %.32q has no id or no key", w.WorkerID)
		case len(w.Subnets) > maxSubnets || slices.ContainsFunc(w.Subnets, func(p netip.Prefix) bool { return !subnets[p] }):
			return refuse("worker %s has subnets %v that are not leased to its cluster", w.WorkerID, w.Subnets)
		case len(w.Outer) > maxOuter || len(w.Sources) > maxSources || len(w.NAT) > maxWord:
			return refuse("worker %s names too much", w.WorkerID)
		}
		return false
	})
	in.Wants = slices.DeleteFunc(cut(in.Wants, maxWants), func(w wire.OverlayWant) bool {
		return (!w.Address.IsValid() || w.Address.Zone() != "" || len(w.Workers) > maxWorkers || slices.ContainsFunc(w.Workers, notID)) &&
			refuse("address %s is wanted by what are no workers", w.Address)
	})
	in.Names = slices.DeleteFunc(cut(in.Names, maxNames), func(k wire.NameKey) bool {
		n, err := semantic.ParseDNSName(k.Name)
		return (err != nil || n.String() != k.Name || len(k.Organization) > maxWord) && refuse("%.64q is no name of a service", k.Name)
	})
	in.Offers = slices.DeleteFunc(cut(in.Offers, maxOffers), func(o wire.OverlayOffer) bool {
		return notID(o.ServiceID) && refuse("%.32q is no service", o.ServiceID)
	})
	for i := range in.Offers {
		o := &in.Offers[i]
		o.Instances = slices.DeleteFunc(cut(o.Instances, maxInstances), func(x wire.RouteInstance) bool {
			switch {
			case x.Number < 0 || x.Number > math.MaxInt32 || x.Generation.Placement > math.MaxInt32 || notID(x.Peer):
				return refuse("%.32q is no instance of service %s on a worker", x.Peer, o.ServiceID)
			case !within(x.NamespaceIP) || x.NamespaceIPv6.IsValid() && !within(x.NamespaceIPv6):
				return refuse("instance %d of service %s is at %s, outside the subnets leased to its cluster", x.Number, o.ServiceID, x.NamespaceIP)
			case x.Tag == 0 || x.Tag > maxTag || x.State != wire.StateRunning && x.State != wire.StateCreated:
				return refuse("instance %d of service %s cannot be reached with tag %d in state %.32q", x.Number, o.ServiceID, x.Tag, x.State)
			case x.Location != nil && !geo.Valid(*x.Location) || x.Load != nil && !(*x.Load >= 0 && *x.Load <= 1):
				return refuse("instance %d of service %s has an impossible place or load", x.Number, o.ServiceID)
			}
			return false
		})
	}
	return refused
}

func notID(id string) bool { return !pki.ValidID(id) }

// cut bounds a list; it never returns nil, which JSON and Postgres tell from an empty one.
func cut[T any](list []T, most int) []T {
	if list == nil {
		return []T{}
	}
	return list[:min(len(list), most)]
}
