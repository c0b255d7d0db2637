// SPDX-License-Identifier: Apache-2.0

package overlay

import "time"

// burst is how many messages of routes one worker is sent at once. The broker keeps room for several times as many for each client; one who wants
// thousands of services is told of them bit by bit.
const burst = 128

// backlog names what is still to be told: routes of services, to workers. What is told is what is true by then; so the backlog is no longer
// than there is to want.
type backlog struct {
	due   map[backlogKey]struct{}
	order []backlogKey
}

type backlogKey struct{ worker, service string }

func (b *backlog) len() int { return len(b.order) }

func (b *backlog) put(key backlogKey) {
	if b.due == nil {
		b.due = map[backlogKey]struct{}{}
	}
	if _, ok := b.due[key]; ok {
		return
	}
	b.due[key] = struct{}{}
	b.order = append(b.order, key)
}

func (b *backlog) take() []backlogKey {
	out := b.order
	b.due, b.order = nil, nil
	return out
}

// hold notes that a worker was not sent what was to be sent to it of a service.
func (c *Core) hold(key backlogKey) {
	if w := c.workers[key.worker]; w != nil {
		w.forget(key.service)
	}
}

// resend returns the routes of a service, or that it is gone, for one who was not sent them in their time.
func (c *Core) resend(key backlogKey, now time.Time) []Message {
	w := c.workers[key.worker]
	switch {
	case w == nil:
		return nil
	case c.services[key.service] == nil:
		return []Message{c.gone(w, key.service)}
	case !w.wants.has(key.service):
		return nil
	}
	if _, told := w.routesSent[key.service]; told {
		return nil // meanwhile it has asked
	}
	return c.sendRoutes(w, key.service, nil, now)
}
