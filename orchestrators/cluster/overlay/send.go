// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Flush returns what has to be said because facts have changed: peers first, then routes, then answers that have become
// others. What would say the same again is left out.
func (c *Core) Flush(now time.Time) (out []Message) {
	for _, id := range slices.Sorted(maps.Keys(c.dirtyPeers)) {
		if w := c.workers[id]; w != nil {
			out = append(out, c.sendPeers(w, false)...)
		}
	}
	clear(c.dirtyPeers)
	asked := c.dirtyAnswers
	c.dirtyAnswers = set{}
	for _, id := range slices.Sorted(maps.Keys(c.dirtyServices)) {
		s := c.services[id]
		if s == nil {
			out = append(out, c.sendGone(id, asked)...)
			continue
		}
		for _, w := range slices.Sorted(maps.Keys(s.interested)) {
			out = append(out, c.sendRoutes(c.workers[w], id, false, now)...)
			asked.add(w)
		}
	}
	clear(c.dirtyServices)
	for _, id := range slices.Sorted(maps.Keys(asked)) {
		out = append(out, c.sendAnswers(c.workers[id], now)...)
	}
	return out
}

// sendPeers tells w its peers if they changed since it was last told, or if force is set. A silent worker
// is told nothing.
func (c *Core) sendPeers(w *worker, force bool) []Message {
	if w.silent() {
		return nil
	}
	m := c.peers(w)
	p := fingerprint(m)
	if !force && p == w.peersSent.print {
		return nil
	}
	w.peersSent = sent{stamp: c.next(), print: p}
	m.Header = wire.NewHeader(w.peersSent.stamp)
	return []Message{{Worker: w.id, Name: wire.TopicNetPeers, Payload: m}}
}

// sendRoutes tells w the routes of a service likewise, unless they are held back.
func (c *Core) sendRoutes(w *worker, id string, force bool, now time.Time) []Message {
	s := c.services[id]
	if w == nil || w.silent() || c.held(s, now) || c.awaited(s) {
		return nil
	}
	m := c.routes(w, s)
	p := fingerprint(m)
	if !force && p == w.routesSent[id].print {
		return nil
	}
	stamp := c.next()
	w.routesSent[id] = sent{stamp: stamp, print: p}
	m.Header = wire.NewHeader(stamp)
	return []Message{{Worker: w.id, Name: wire.TopicNetRoutes + id, Payload: m}}
}

// sendGone tells all who had routes of a service that it exists no more.
func (c *Core) sendGone(id string, asked set) (out []Message) {
	for _, name := range slices.Sorted(maps.Keys(c.workers)) {
		w := c.workers[name]
		if _, ok := w.routesSent[id]; !ok {
			continue
		}
		delete(w.routesSent, id)
		m := wire.NetRoutes{Header: wire.NewHeader(c.next()), ServiceID: id, Addresses: []wire.ServiceAddress{},
			Instances: []wire.RouteInstance{}, Gone: true}
		out = append(out, Message{Worker: name, Name: wire.TopicNetRoutes + id, Payload: m})
		asked.add(name)
	}
	return out
}

// sendAnswers tells w the answers to its addresses and names that differ from what it was last told.
func (c *Core) sendAnswers(w *worker, now time.Time) []Message {
	if w == nil || w.silent() {
		return nil
	}
	var entries []wire.ResolvedAddress
	for _, a := range w.interest {
		answer, ok := c.answer(a, now)
		if ok && w.answers[a] != answer {
			w.answers[a] = answer
			entries = append(entries, answer)
		}
	}
	var stamp wire.Stamp
	once := func() wire.Stamp {
		if stamp.IsZero() {
			stamp = c.next()
		}
		return stamp
	}
	names := c.answerNames(w, once, now)
	if len(entries)+len(names) == 0 {
		return nil
	}
	m := wire.NetResolved{Header: wire.NewHeader(once()), Entries: entries, Names: names}
	return []Message{{Worker: w.id, Name: wire.TopicNetResolved, Payload: m}}
}

// answer says whose an address is; nothing while root may still say.
func (c *Core) answer(a netip.Addr, now time.Time) (r wire.ResolvedAddress, ok bool) {
	r = wire.ResolvedAddress{Address: a, Resolution: wire.ResolvedUnavailable}
	id, known := c.addresses[a]
	owner, told := c.abroad.addresses[a]
	switch {
	case known && c.held(c.services[id], now):
		return r, true
	case known && c.awaited(c.services[id]):
		return r, !c.abroad.asking
	case known:
		r.Resolution, r.ServiceID = wire.ResolvedService, id
		return r, true
	case c.abroad.alone, told && owner == "":
		r.Resolution = wire.ResolvedNone
		return r, true
	}
	return r, told || !c.abroad.asking
}

// silent reports whether the worker's NetManager has not been heard of yet. It then need not be told anything: it asks for
// everything when it connects. Another cluster's is told things by its own.
func (w *worker) silent() bool { return w.abroad || w.heardInterest.IsZero() && !w.settled }

// fingerprint tells two messages without stamps apart.
func fingerprint(m any) string {
	b, err := json.Marshal(m)
	if err != nil {
		return "" // the types hold nothing that cannot be written; an unknown print is sent once more
	}
	sum := sha256.Sum256(b)
	return string(sum[:])
}
