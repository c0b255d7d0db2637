// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"maps"
	"slices"
	"sync"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// peerList is the list of peers that the cluster's changes are changes of.
type peerList struct {
	mu    sync.Mutex
	stamp wire.Stamp
	peers map[string]wire.NetPeer // nil while none is known
}

// merge returns the whole list that a message stands for. It reports false for a change of another list than the one held: then the
// whole one has to be asked for. A change that is known already changes nothing.
func (l *peerList) merge(m wire.NetPeers) (wire.NetPeers, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case m.Base.IsZero():
		if l.peers != nil && !m.After(l.stamp) {
			return m, true // who applies it sees that it is an older one
		}
		l.stamp, l.peers = m.Stamp, make(map[string]wire.NetPeer, len(m.Peers))
	case l.peers == nil || m.Base != l.stamp && m.After(l.stamp):
		return m, false
	case !m.After(l.stamp):
		m = wire.NetPeers{Header: wire.Header{Format: m.Format, Stamp: l.stamp}}
	default:
		l.stamp = m.Stamp
	}
	for _, p := range m.Peers {
		l.peers[p.WorkerID] = p
	}
	for _, id := range m.Gone {
		delete(l.peers, id)
	}
	whole := wire.NetPeers{Header: m.Header, Peers: make([]wire.NetPeer, 0, len(l.peers))}
	for _, id := range slices.Sorted(maps.Keys(l.peers)) {
		whole.Peers = append(whole.Peers, l.peers[id])
	}
	return whole, true
}
