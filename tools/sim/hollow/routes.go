// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// routesHeard is what matters here of [wire.NetRoutes].
type routesHeard struct {
	wire.Header
	ServiceID string                `json:"service_id"`
	Addresses []wire.ServiceAddress `json:"addresses"`
	Instances []struct {
		Number     int             `json:"instance_number"`
		Generation wire.Generation `json:"generation"`
		State      wire.State      `json:"state"`
	} `json:"instances"`
	Base    wire.Stamp `json:"base"`
	Without []int      `json:"without"`
	Gone    bool       `json:"gone"`
}

// onRoutes brings the worker's table to what a message says, and tells the watch what is in it then that was not, and the other way round.
func (w *Worker) onRoutes(_ string, payload []byte) {
	var m routesHeard
	if json.Unmarshal(payload, &m) != nil {
		return
	}
	w.mu.Lock()
	old := w.over.routes[m.ServiceID]
	if old != nil && !m.After(old.stamp) {
		w.mu.Unlock()
		return
	}
	change := !m.Base.IsZero()
	if change && (old == nil || old.stamp != m.Base) {
		w.missed(old)
		w.mu.Unlock()
		return
	}
	now := &heard{stamp: m.Stamp, up: make(map[int]wire.Generation, len(m.Instances))}
	if change {
		now.up = maps.Clone(old.up)
	}
	for _, n := range m.Without {
		delete(now.up, n)
	}
	for _, i := range m.Instances {
		delete(now.up, i.Number)
		if i.State == wire.StateRunning {
			now.up[i.Number] = i.Generation
		}
	}
	w.over.routes[m.ServiceID] = now
	if m.Gone {
		delete(w.over.routes, m.ServiceID)
	}
	since := w.over.sinceOf(m.ServiceID, m.Addresses)
	w.mu.Unlock()
	w.tellRoutes(m.ServiceID, old, now, since)
}

// tellRoutes tells the watch how two tables of a service differ.
func (w *Worker) tellRoutes(service string, old, now *heard, since time.Time) {
	at := time.Now()
	if old == nil {
		old = &heard{}
		if !since.IsZero() {
			w.opts.Watch.Resolved(w.id.id, service, since, at)
		}
	}
	copyOf := func(n int, g wire.Generation) Copy {
		return Copy{wire.InstanceKey{ServiceID: service, Number: n}, g}
	}
	for n, g := range now.up {
		if old.up[n] != g {
			w.opts.Watch.Routed(w.id.id, copyOf(n, g), since, at)
		}
	}
	for n, g := range old.up {
		if now.up[n] != g {
			w.opts.Watch.Unrouted(w.id.id, copyOf(n, g), at)
		}
	}
}

// missed has the whole asked for, of which a change has been missed; the lock is held. Of a service that nothing is held of the answer is on
// its way, or nothing is wanted.
func (w *Worker) missed(h *heard) {
	w.opts.Traffic.Missed.Add(1)
	now := time.Now()
	if h == nil || now.Before(h.until) {
		return
	}
	h.asks, h.wait = true, min(max(2*h.wait, gapLeast), gapMost)
	h.until = now.Add(h.wait)
	w.over.interest = true
	signal(w.say)
}

// RoutesOf returns the instances of a service that the worker has routes to.
func (w *Worker) RoutesOf(service string) map[int]wire.Generation {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[int]wire.Generation{}
	if h := w.over.routes[service]; h != nil {
		maps.Copy(out, h.up)
	}
	return out
}

// Holds reports whether the worker has a route to a copy.
func (w *Worker) Holds(c Copy) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.over.routes[c.ServiceID]
	return h != nil && h.up[c.Number] == c.Generation
}
