// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"maps"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// peers returns the message that tells w its peers.
func (c *Core) peers(w *worker) wire.NetPeers {
	m := wire.NetPeers{Peers: []wire.NetPeer{}}
	for _, id := range slices.Sorted(maps.Keys(c.peersOf(w))) {
		if e := c.current(id); e != nil {
			m.Peers = append(m.Peers, e.peer)
		}
	}
	return m
}

// routes returns the message that tells w where the instances of a service are, without a stamp, and its fingerprint.
func (c *Core) routes(w *worker, s *service) wire.NetRoutes {
	b := c.routesOf(s)
	m := b.message
	m.Header = wire.Header{}
	if chosen := c.choose(w, s); chosen != nil {
		m.Instances = pick(b.message.Instances, chosen)
	}
	return m
}
