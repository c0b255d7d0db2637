// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// apply does what a desired state asks for.
func (w *Worker) apply(d *wire.Desired) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := &w.box
	if b.stopped || b.applied.After(d.Stamp) {
		return
	}
	b.applied = d.Stamp
	clear(b.desired)
	clear(b.tombs)
	for _, t := range d.Tombstones {
		b.tombs[t.InstanceKey] = t.Generation
	}
	for key := range b.gone {
		if _, ok := b.tombs[key]; !ok {
			delete(b.gone, key)
		}
	}
	for key, g := range b.tombs {
		c := b.containers[key]
		switch {
		case c != nil && c.Generation.Compare(g) <= 0:
			w.stop(key, c)
		case b.gone[key] != g:
			b.gone[key] = g
			b.changed[key] = struct{}{}
		}
	}
	for _, want := range d.Instances {
		b.desired[want.InstanceKey] = want
		c := b.containers[want.InstanceKey]
		switch {
		case c == nil:
			w.create(want)
		case want.Generation.Compare(c.Generation) > 0:
			w.stop(want.InstanceKey, c)
		}
	}
	signal(w.tell)
}

// next has f called for the container in its time, with the lock held, unless the container is another one by then.
func (w *Worker) next(c *container, in time.Duration, f func(*container)) {
	c.step = time.AfterFunc(in, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.box.containers[c.InstanceKey] == c && !w.box.stopped {
			f(c)
		}
	})
}

// change notes that a container is to be reported.
func (w *Worker) change(c *container) {
	w.box.changed[c.InstanceKey] = struct{}{}
	signal(w.tell)
}

// create brings a container up in the steps of a real one: the image is there, it gets its addresses, is made, and starts.
func (w *Worker) create(want wire.DesiredInstance) {
	c := &container{DesiredInstance: want}
	c.enter(wire.StateCreating, "")
	w.box.containers[want.InstanceKey] = c
	w.change(c)
	takes := w.chance.create()
	w.next(c, takes/4, func(c *container) { w.attach(c, takes) })
}

// attach gives a container its addresses, or waits for them.
func (w *Worker) attach(c *container, takes time.Duration) {
	endpoint, why := w.over.attach(c, w.chance.tag())
	if endpoint == nil {
		if c.detail != why {
			c.enter(wire.StateCreating, why)
			w.change(c)
		}
		w.next(c, 250*time.Millisecond, func(c *container) { w.attach(c, takes) })
		return
	}
	c.endpoint = endpoint
	w.over.endpoints = true
	signal(w.say)
	w.next(c, takes*5/8, func(c *container) {
		c.enter(wire.StateCreated, "")
		w.change(c)
		w.next(c, takes/8, w.run)
	})
}

// run has a container run, and end one day if the worker is of that kind.
func (w *Worker) run(c *container) {
	c.enter(wire.StateRunning, "")
	w.opts.Watch.Up(w.id.id, Copy{c.InstanceKey, c.Generation}, c.since)
	w.change(c)
	if w.opts.Behaviour.Kind == Crashing {
		w.next(c, w.chance.around(w.chance.b.Every), w.crash)
	}
}

// crash ends a container, which is started again after a pause.
func (w *Worker) crash(c *container) {
	c.restarts++
	c.enter(wire.StateCreating, "ended with code 1: restart in "+CrashPause.String())
	w.opts.Watch.Down(w.id.id, Copy{c.InstanceKey, c.Generation}, c.since)
	w.change(c)
	w.next(c, CrashPause, w.run)
}

// Crash ends a container that runs, as if it had ended by itself. It reports whether there was one.
func (w *Worker) Crash(key wire.InstanceKey) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.box.containers[key]
	if c == nil || c.state != wire.StateRunning || w.box.stopped {
		return false
	}
	if c.step != nil {
		c.step.Stop()
	}
	w.crash(c)
	return true
}

// stop ends a container for good; what is wanted in its place comes afterwards.
func (w *Worker) stop(key wire.InstanceKey, c *container) {
	if c.state == "" {
		return // on its way already
	}
	if c.step != nil {
		c.step.Stop()
	}
	if c.state == wire.StateRunning {
		w.opts.Watch.Down(w.id.id, Copy{key, c.Generation}, time.Now())
	}
	c.state = ""
	w.next(c, stopTakes, func(c *container) {
		b := &w.box
		delete(b.containers, key)
		b.changed[key] = struct{}{}
		w.over.detach(c)
		signal(w.say)
		if g, ok := b.tombs[key]; ok && c.Generation.Compare(g) <= 0 {
			b.gone[key] = g
		}
		if want, ok := b.desired[key]; ok {
			w.create(want)
		}
		signal(w.tell)
	})
}

// Running returns the copies that run.
func (w *Worker) Running() (all []Copy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, c := range w.box.containers {
		if c.state == wire.StateRunning {
			all = append(all, Copy{key, c.Generation})
		}
	}
	return all
}
