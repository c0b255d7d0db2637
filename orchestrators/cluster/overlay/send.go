// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Spacing of the updates of one service: at least minSpacing, and as long as the last one takes at maxRate, so that updates never fill the
// network of an edge.
const (
	minSpacing = 20 * time.Millisecond
	maxRate    = 20 << 20 // bytes a second
	// maxFlush is about how many bytes of lists of peers, and of routes of each service, one flush says: what waits to be sent takes memory.
	maxFlush = 1 << 20
)

// Flush returns what has to be said because facts have changed: peers first, then routes, then answers that have become
// others. What would say the same again is left out; what is said of a service may wait for its time.
func (c *Core) Flush(now time.Time) (out []Message) {
	c.refreshEntries()
	out = c.flushPeers()
	asked := c.dirtyAnswers
	c.dirtyAnswers = set{}
	for _, id := range slices.Sorted(maps.Keys(c.dirtyServices)) {
		s := c.services[id]
		switch {
		case s == nil:
			out = append(out, c.sendGone(id, asked)...)
		case c.spaced && now.Before(s.notBefore):
			continue
		default:
			said, all := c.sendService(s, now, asked)
			if out = append(out, said...); !all {
				continue
			}
		}
		delete(c.dirtyServices, id)
	}
	for _, id := range slices.Sorted(maps.Keys(asked)) {
		out = append(out, c.sendAnswers(c.workers[id], now)...)
	}
	return out
}

// flushPeers tells workers of whom they are in relation with now, up to maxFlush; who was not told is told first by the next flush.
func (c *Core) flushPeers() (out []Message) {
	due := slices.Sorted(maps.Keys(c.dirtyPeers))
	first, _ := slices.BinarySearch(due, c.nextPeers)
	size := 0
	for n := range due {
		id := due[(first+n)%len(due)]
		if c.spaced && size >= maxFlush {
			c.nextPeers = id
			return out
		}
		delete(c.dirtyPeers, id)
		if w := c.workers[id]; w != nil {
			for _, m := range c.sendPeers(w, false) {
				size += len(m.Encoded)
				out = append(out, m)
			}
		}
	}
	c.nextPeers = ""
	return out
}

// sendService tells those who want a service of its routes, up to maxFlush, and reports whether that were all; who was not told is told first
// by the next flush.
func (c *Core) sendService(s *service, now time.Time, asked set) (out []Message, all bool) {
	size := 0
	due := slices.Sorted(maps.Keys(s.interested))
	first, _ := slices.BinarySearch(due, s.next)
	s.next = ""
	for n := range due {
		id := due[(first+n)%len(due)]
		if c.spaced && size >= maxFlush {
			s.next = id
			break
		}
		for _, m := range c.sendRoutes(c.workers[id], s.ID, nil, now) {
			size += len(m.Encoded)
			out = append(out, m)
		}
		asked.add(id)
	}
	s.notBefore = now.Add(max(minSpacing, time.Duration(size)*time.Second/maxRate))
	return out, s.next == ""
}

// sendRoutes tells w the routes of a service if they are others than it was last told, or if it says that it holds others, unless they are
// held back. Who takes changes, and holds what it was told, is told what has changed.
func (c *Core) sendRoutes(w *worker, id string, held []wire.Stamp, now time.Time) []Message {
	s := c.services[id]
	if w == nil || w.silent() || c.held(s, now) || c.awaited(s) {
		return nil
	}
	b := c.routesOf(s)
	chosen := c.choose(w, b)
	last, told := w.routesSent[id]
	known := told && !slices.ContainsFunc(held, func(h wire.Stamp) bool { return h != last.stamp })
	news := &c.scratch.news
	if known {
		sameHead := bytes.Equal(b.print, last.of.print)
		if !b.since(&last, chosen, news) && sameHead {
			w.noteSent(id, last.stamp, b, chosen)
			return nil
		}
		known = sameHead && w.takesChanges && len(news.different) < b.count(chosen)
	}
	base := last.stamp
	if !told {
		base = w.forgotten
	}
	b.stampFor(c, slices.MaxFunc(slices.Concat(held, []wire.Stamp{base}), wire.Stamp.Compare))
	m := Message{Worker: w.id, Name: wire.TopicNetRoutes + id}
	if known {
		m.Encoded = b.changeFor(base, chosen, news)
	} else {
		m.Encoded = b.wholeFor(chosen)
	}
	w.noteSent(id, b.stamp, b, chosen)
	return []Message{m}
}

// noteSent remembers what w was told of a service, or that what it was told is what is true of it now.
func (w *worker) noteSent(id string, stamp wire.Stamp, b *built, chosen []int32) {
	last := w.routesSent[id]
	if chosen != nil {
		chosen = append(last.chosen[:0], chosen...)
	}
	w.routesSent[id] = sent{stamp: stamp, of: b, chosen: chosen}
}

// sendGone tells all who had routes of a service that it exists no more.
func (c *Core) sendGone(id string, asked set) (out []Message) {
	for _, name := range slices.Sorted(maps.Keys(c.workers)) {
		w := c.workers[name]
		if _, ok := w.routesSent[id]; !ok {
			continue
		}
		out = append(out, c.gone(w, id))
		asked.add(name)
	}
	return out
}

// gone tells w that a service exists no more.
func (c *Core) gone(w *worker, id string) Message {
	delete(w.routesSent, id)
	w.forgotten = c.next()
	return Message{Worker: w.id, Name: wire.TopicNetRoutes + id, Payload: wire.NetRoutes{Header: wire.NewHeader(w.forgotten), ServiceID: id,
		Addresses: []wire.ServiceAddress{}, Instances: []wire.RouteInstance{}, Gone: true}}
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
