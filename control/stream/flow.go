// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"sync"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// gate holds the credit of a sender.
type gate struct {
	mu        sync.Mutex
	left      int
	unlimited bool
	news      chan struct{} // closed when credit comes
}

// newGate starts with so much credit; without limit for 0.
func newGate(window int) *gate {
	return &gate{left: min(max(window, 0), wire.StreamWindow), unlimited: window <= 0, news: make(chan struct{})}
}

// take waits for credit and takes up to want of it.
func (g *gate) take(ctx context.Context, want int) (int, error) {
	for {
		g.mu.Lock()
		if g.unlimited {
			g.mu.Unlock()
			return want, ctx.Err()
		}
		if n := min(want, g.left); n > 0 {
			g.left -= n
			g.mu.Unlock()
			return n, nil
		}
		news := g.news
		g.mu.Unlock()
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-news:
		}
	}
}

// give adds credit. More than a window is never due, whoever claims it.
func (g *gate) give(n int) {
	if n <= 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left = min(g.left+min(n, wire.StreamWindow), wire.StreamWindow)
	close(g.news)
	g.news = make(chan struct{})
}

// errOverrun is what a sender gets that disregards its credit.
var errOverrun = errors.New("more data was sent than there was credit for")

// queue holds data that came and was not taken yet: a window at most.
type queue struct {
	mu     sync.Mutex
	chunks []chunk
	bytes  int
	err    error // once no more comes
	news   chan struct{}
}

type chunk struct {
	kind byte
	data []byte
}

func newQueue() *queue { return &queue{news: make(chan struct{}, 1)} }

func (q *queue) wake() {
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// put appends data. Small pieces of one kind are joined, so that what is held is bounded by its bytes.
func (q *queue) put(kind byte, data []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+len(data) > wire.StreamWindow {
		return errOverrun
	}
	if q.err != nil || len(data) == 0 {
		return nil
	}
	q.bytes += len(data)
	if n := len(q.chunks); n > 0 && q.chunks[n-1].kind == kind && len(q.chunks[n-1].data)+len(data) <= wire.MaxStreamMessage {
		q.chunks[n-1].data = append(q.chunks[n-1].data, data...)
	} else {
		q.chunks = append(q.chunks, chunk{kind, data})
	}
	q.wake()
	return nil
}

// end says that nothing more comes; what is there can still be taken.
func (q *queue) end(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.wake()
}

// next waits for data; when none comes any more it returns why, io.EOF for an end in order.
func (q *queue) next(ctx context.Context) (chunk, error) {
	for {
		q.mu.Lock()
		if len(q.chunks) > 0 {
			c := q.chunks[0]
			q.chunks = q.chunks[1:]
			q.bytes -= len(c.data)
			q.mu.Unlock()
			return c, nil
		}
		err := q.err
		q.mu.Unlock()
		if err != nil {
			return chunk{}, err
		}
		select {
		case <-ctx.Done():
			return chunk{}, context.Cause(ctx)
		case <-q.news:
		}
	}
}
