// SPDX-License-Identifier: Apache-2.0

package mqtt

import (
	"context"
	"sync"
)

// inbox takes messages off paho's goroutine, which must never wait: it also reads acknowledgements.
type inbox struct {
	mu     sync.Mutex
	queue  []Message
	bytes  int
	signal chan struct{}
}

func (b *inbox) init() { b.signal = make(chan struct{}, 1) }

// put returns false, and forgets what waits, if a bound is passed.
func (b *inbox) put(m Message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) >= maxQueued || b.bytes+len(m.Payload) > maxQueuedBytes {
		b.queue, b.bytes = nil, 0
		return false
	}
	b.queue = append(b.queue, m)
	b.bytes += len(m.Payload)
	select {
	case b.signal <- struct{}{}:
	default:
	}
	return true
}

func (b *inbox) take() []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queue
	b.queue, b.bytes = nil, 0
	return q
}

// run hands messages to handle, one after another, until ctx ends.
func (b *inbox) run(ctx context.Context, handle func(Message)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.signal:
		}
		for _, m := range b.take() {
			if ctx.Err() != nil {
				return
			}
			handle(m)
		}
	}
}
