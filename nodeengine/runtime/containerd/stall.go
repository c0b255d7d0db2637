// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// errStalled is the cause for a pull to which nothing came for too long.
var errStalled = errors.New("the registry has sent nothing for too long")

// progress notes when bytes last came for a pull, and whether any are awaited: while layers are unpacked none are.
type progress struct {
	awaited atomic.Int64
	last    atomic.Int64 // Unix, ns
}

func (p *progress) note() { p.last.Store(time.Now().UnixNano()) }

// through has all that comes through a transport noted.
func (p *progress) through(next http.RoundTripper) http.RoundTripper { return &noted{next, p} }

type noted struct {
	next http.RoundTripper
	p    *progress
}

// RoundTrip implements http.RoundTripper.
func (t *noted) RoundTrip(req *http.Request) (*http.Response, error) {
	p := t.p
	p.note()
	p.awaited.Add(1)
	resp, err := t.next.RoundTrip(req)
	p.note()
	if err != nil {
		p.awaited.Add(-1)
		return nil, err
	}
	resp.Body = &progressBody{ReadCloser: resp.Body, p: p}
	return resp, nil
}

// progressBody is an answer that is being read.
type progressBody struct {
	io.ReadCloser
	p     *progress
	ended atomic.Bool
}

func (b *progressBody) Read(buf []byte) (int, error) {
	n, err := b.ReadCloser.Read(buf)
	if n > 0 {
		b.p.note()
	}
	if err != nil {
		b.end()
	}
	return n, err
}

func (b *progressBody) Close() error {
	b.end()
	return b.ReadCloser.Close()
}

func (b *progressBody) end() {
	if b.ended.CompareAndSwap(false, true) {
		b.p.note() // what is awaited besides has its full time again
		b.p.awaited.Add(-1)
	}
}

// guard returns a context that ends, with errStalled for its cause, when bytes are awaited and none have come for the given time.
func (p *progress) guard(ctx context.Context, within time.Duration) (context.Context, context.CancelFunc) {
	p.note()
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(max(within/10, time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if p.awaited.Load() > 0 && time.Since(time.Unix(0, p.last.Load())) > within {
				cancel(errStalled)
				return
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}
