// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// entry is what a worker's peers are told of it. Version is another whenever that is; it is 0 while there is nothing to tell.
type entry struct {
	version uint64
	id      string
	encoded []byte
}

// peersSent remembers which list of peers a worker was last told, by the versions of the entries in it.
type peersSent struct {
	stamp    wire.Stamp
	versions map[string]uint64
	// changes says that the worker takes changes of a list for a list.
	changes bool
}

// peersOf returns the ids of all workers that w is in relation with.
func (c *Core) peersOf(w *worker) set {
	ids := set{}
	c.addPeersOf(w, ids)
	return ids
}

func (c *Core) addPeersOf(w *worker, ids set) {
	for id := range w.wants {
		if s := c.services[id]; s != nil {
			for host := range c.hostsOf(s) {
				ids.add(host)
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
}

// hostsOf returns the workers that have attached a copy of a service.
func (c *Core) hostsOf(s *service) set {
	if s.hosts == nil {
		s.hosts = set{}
		for i := range s.Copies {
			if _, ok := c.endpointOf(s.ID, &s.Copies[i]); ok {
				s.hosts.add(s.Copies[i].Worker)
			}
		}
	}
	return s.hosts
}

// refreshEntries brings entries up to date, and marks for another look those whose list holds one that is different now.
func (c *Core) refreshEntries() {
	for id := range c.dirtyEntries {
		w := c.workers[id]
		if w == nil || !c.refresh(w) {
			continue
		}
		for peer := range c.peersOf(w) {
			c.dirtyPeers.add(peer)
		}
	}
	clear(c.dirtyEntries)
}

// refresh brings a worker's entry up to date and reports whether it is another now. One whose public key is not known yet has none:
// it follows when the worker has told its endpoints.
func (c *Core) refresh(w *worker) (changed bool) {
	if w.publicKey == nil {
		return false
	}
	peer := wire.NetPeer{WorkerID: w.id, PublicKey: w.publicKey, Subnets: w.subnets, Outer: w.outer, NAT: w.nat, Sources: c.sources(w)}
	encoded, err := json.Marshal(peer)
	if err != nil || bytes.Equal(encoded, w.entry.encoded) { // the type holds nothing that cannot be written
		return false
	}
	c.entries++
	w.entry = entry{version: c.entries, id: w.id, encoded: encoded}
	return true
}

// current returns the entry of a worker, nil if there is none.
func (c *Core) current(id string) *entry {
	w := c.workers[id]
	if w == nil {
		return nil
	}
	if _, dirty := c.dirtyEntries[id]; dirty && c.refresh(w) {
		for peer := range c.peersOf(w) {
			c.dirtyPeers.add(peer)
		}
	}
	delete(c.dirtyEntries, id)
	if w.entry.version == 0 {
		return nil
	}
	return &w.entry
}

// sendPeers tells w its peers if they changed since it was last told, or all of them if whole is set. A silent worker is told nothing.
func (c *Core) sendPeers(w *worker, whole bool) []Message {
	if w.silent() {
		return nil
	}
	if w.peersSent.versions == nil {
		w.peersSent.versions = map[string]uint64{}
	}
	told, now := w.peersSent.versions, c.scratch.peers
	clear(now)
	c.addPeersOf(w, now)
	all, different := c.scratch.all[:0], c.scratch.different[:0]
	for id := range now {
		e := c.current(id)
		if e == nil {
			delete(now, id)
			continue
		}
		all = append(all, e)
		if told[id] != e.version {
			different = append(different, e)
			told[id] = e.version
		}
	}
	c.scratch.all, c.scratch.different = all, different
	var gone []string
	if len(told) > len(now) {
		for id := range told {
			if !now.has(id) {
				gone = append(gone, id)
				delete(told, id)
			}
		}
	}
	known := !w.peersSent.stamp.IsZero()
	if known && !whole && len(different)+len(gone) == 0 {
		return nil
	}
	m := wire.NetPeers{}
	if known && !whole && w.peersSent.changes {
		m.Base, m.Gone = w.peersSent.stamp, gone
		slices.Sort(m.Gone)
		all = different
	}
	w.peersSent.stamp = c.next()
	return []Message{peersMessage(w, m, all)}
}

// introduce tells w of one worker that it is in relation with from now on. The rest of its list may wait.
func (c *Core) introduce(w *worker, id string) []Message {
	e := c.current(id)
	if w.silent() || w.peersSent.stamp.IsZero() || !w.peersSent.changes {
		return c.sendPeers(w, false)
	}
	if e == nil || w.peersSent.versions[id] == e.version {
		return nil
	}
	m := wire.NetPeers{Base: w.peersSent.stamp}
	w.peersSent.stamp = c.next()
	w.peersSent.versions[id] = e.version
	return []Message{peersMessage(w, m, []*entry{e})}
}

// peersMessage puts entries into a message, which is written from what was written of them before.
func peersMessage(w *worker, m wire.NetPeers, entries []*entry) Message {
	slices.SortFunc(entries, func(a, b *entry) int { return cmp.Compare(a.id, b.id) })
	m.Header = wire.NewHeader(w.peersSent.stamp)
	m.Peers = []wire.NetPeer{}
	size := 0
	for _, e := range entries {
		size += len(e.encoded) + 1
	}
	return Message{Worker: w.id, Name: wire.TopicNetPeers, Encoded: splice(m, peersMark, size, func(out []byte) []byte {
		for i, e := range entries {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, e.encoded...)
		}
		return out
	})}
}

// peersMark is where the entries go in a message without any.
const peersMark = `"peers":[`

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
