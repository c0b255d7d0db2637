// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"cmp"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// peersOf returns the ids of all workers that w is in relation with.
func (c *Core) peersOf(w *worker) set {
	ids := set{}
	for id := range w.wants {
		if s := c.services[id]; s != nil {
			for i := range s.Copies {
				if _, ok := c.endpointOf(id, &s.Copies[i]); ok {
					ids.add(s.Copies[i].Worker)
				}
			}
		}
	}
	for _, e := range w.endpoints {
		if c.copyOf(w, &e) != nil {
			for id := range c.services[e.ServiceID].interested {
				ids.add(id)
			}
		}
	}
	delete(ids, w.id)
	return ids
}

// peers returns the message that tells w its peers. A worker whose public key is not known yet is left out: it follows when
// it has told its endpoints.
func (c *Core) peers(w *worker) wire.NetPeers {
	m := wire.NetPeers{Peers: []wire.NetPeer{}}
	for id := range c.peersOf(w) {
		p := c.workers[id]
		if p == nil || p.publicKey == nil {
			continue
		}
		m.Peers = append(m.Peers, wire.NetPeer{
			WorkerID: id, PublicKey: p.publicKey, Subnets: p.subnets, Outer: p.outer, NAT: p.nat, Sources: c.sources(p),
		})
	}
	slices.SortFunc(m.Peers, func(a, b wire.NetPeer) int { return cmp.Compare(a.WorkerID, b.WorkerID) })
	return m
}

// sources returns the Instance IPs that live on a worker.
func (c *Core) sources(w *worker) []wire.NetSource {
	if w.abroad {
		return w.sources
	}
	all := []wire.NetSource{}
	for _, e := range w.endpoints {
		if x := c.copyOf(w, &e); x != nil && c.owns(e.ServiceID, x.InstanceIP) && c.owns(e.ServiceID, x.InstanceIPv6) {
			all = append(all, wire.NetSource{InstanceKey: e.InstanceKey, Generation: e.Generation,
				InstanceIP: x.InstanceIP, InstanceIPv6: x.InstanceIPv6})
		}
	}
	slices.SortFunc(all, func(a, b wire.NetSource) int { return a.Compare(b.InstanceKey) })
	return all
}
