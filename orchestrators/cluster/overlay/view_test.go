// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// received returns the message as its receiver reads it.
func received(m Message) any {
	if m.Encoded == nil {
		return m.Payload
	}
	if strings.HasPrefix(m.Name, wire.TopicNetRoutes) {
		return read[wire.NetRoutes](m.Encoded)
	}
	return read[wire.NetPeers](m.Encoded)
}

func read[T any](text []byte) (m T) {
	if err := json.Unmarshal(text, &m); err != nil {
		panic(err)
	}
	return m
}

// peers returns the message that tells w its peers.
func (c *Core) peers(w *worker) wire.NetPeers {
	m := wire.NetPeers{Peers: []wire.NetPeer{}}
	for _, id := range slices.Sorted(maps.Keys(c.peersOf(w))) {
		if e := c.current(id); e != nil {
			m.Peers = append(m.Peers, read[wire.NetPeer](e.encoded))
		}
	}
	return m
}

// routes returns the message that tells w where the instances of a service are, without a stamp.
func (c *Core) routes(w *worker, s *service) wire.NetRoutes {
	b := c.routesOf(s)
	m := b.head
	m.Instances = []wire.RouteInstance{}
	chosen := c.choose(w, b)
	for i := range b.count(chosen) {
		m.Instances = append(m.Instances, read[wire.RouteInstance](b.at(chosen, i).text))
	}
	return m
}
