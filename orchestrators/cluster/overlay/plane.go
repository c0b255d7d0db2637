// SPDX-License-Identifier: Apache-2.0

package overlay

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Spacing of what is not urgent. What facts changed by is gathered for a moment, since an endpoint and the state of its
// instance come from two programs. Between two updates passes at least twice as much time as the last one took, so that no storm of changes
// takes all of the processor, and as lists of peers take at maxRate; each service's routes are spaced besides.
const gather = 5 * time.Millisecond

// Plane is a [Core] for concurrent use that publishes what comes out of it.
type Plane struct {
	mu      sync.Mutex
	core    *Core
	publish func(Message) (bytes int)
	refresh func()
	wake    chan struct{}
	// Busy, if not nil, reports that so much of what was published still waits to be sent that changes are better gathered for a while. It is
	// to be set before Run.
	Busy func() bool
	// later is what one worker is not sent all at once.
	later backlog
	// exported holds a token whenever [Core.Export] may have become another.
	exported chan struct{}
}

// NewPlane returns a plane over core. publish is called with a lock held, one message after another: it must not block, nor
// call back. refresh is called, without it, before facts are looked at because of [Plane.Wake]: it may bring them up to date by [Plane.Do].
func NewPlane(core *Core, publish func(Message) (bytes int), refresh func()) *Plane {
	core.spaced = true
	return &Plane{core: core, publish: publish, refresh: refresh, wake: make(chan struct{}, 1),
		exported: make(chan struct{}, 1)}
}

// Wake has facts refreshed, and what they changed by published, soon. It never blocks.
func (p *Plane) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Exported returns a channel that is sent to when what [Core.Export] returns may have changed.
func (p *Plane) Exported() <-chan struct{} { return p.exported }

// Export is [Core.Export].
func (p *Plane) Export(now time.Time) Export {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.core.Export(now)
}

// Do runs f on the core. The messages that f returns are published at once; what facts changed by follows spaced.
func (p *Plane) Do(f func(*Core) []Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.emit(f(p.core))
	if p.core.Dirty() || p.later.len() > 0 {
		p.Wake()
	}
	select {
	case p.exported <- struct{}{}:
	default:
	}
}

// Run publishes changes until ctx ends, and looks at everything once more when the grace period of the core ends.
func (p *Plane) Run(ctx context.Context) {
	p.mu.Lock()
	grace := time.NewTimer(time.Until(p.core.graceEnd))
	p.mu.Unlock()
	defer grace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-grace.C:
			p.Do(func(c *Core) []Message { c.Settle(); return nil })
			continue
		case <-p.wake:
		}
		if !pause(ctx, gather) || !p.idle(ctx) {
			return
		}
		p.refresh()
		began := time.Now()
		bytes, more := p.flush()
		if !pause(ctx, max(minSpacing-gather, 2*time.Since(began), time.Duration(bytes)*time.Second/maxRate)) {
			return
		}
		if more {
			p.Wake()
		}
	}
}

// idle waits while the publisher is busy, and reports false if ctx ended.
func (p *Plane) idle(ctx context.Context) bool {
	const most, each = 5 * time.Second, 5 * time.Millisecond
	for began := time.Now(); p.Busy != nil && p.Busy() && time.Since(began) < most; {
		if !pause(ctx, each) {
			return false
		}
	}
	return true
}

// flush publishes what is due. It returns how much of it was not spaced by itself, and whether there is more that is not due yet.
func (p *Plane) flush() (bytes int, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	var late []Message
	for _, key := range p.later.take() {
		late = append(late, p.core.resend(key, now)...)
	}
	bytes = p.emit(slices.Concat(late, p.core.Flush(now)))
	return bytes, p.core.Dirty() || p.later.len() > 0
}

// emit publishes messages, but for routes that would fill the queue of one worker: what is true by then follows. It returns how much of it is
// not spaced by itself.
func (p *Plane) emit(messages []Message) (bytes int) {
	crowded := len(messages) > burst
	sent := map[string]int{}
	for _, m := range messages {
		service, routes := strings.CutPrefix(m.Name, wire.TopicNetRoutes)
		if !routes {
			bytes += p.publish(m)
			continue
		}
		if sent[m.Worker]++; crowded && sent[m.Worker] > burst {
			key := backlogKey{m.Worker, service}
			p.core.hold(key)
			p.later.put(key)
			continue
		}
		p.publish(m)
	}
	return bytes
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
