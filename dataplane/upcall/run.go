// SPDX-License-Identifier: Apache-2.0

package upcall

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lookEvery   = 20 * time.Millisecond // at what is held, while something is
	idleEvery   = time.Second           // otherwise
	settleEvery = time.Second
	// pauseAfterError is the wait after a read that failed, such as while the interface is down.
	pauseAfterError = 100 * time.Millisecond
)

// deadliner is what the packet socket can do besides reading and writing.
type deadliner interface {
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Run reads frames until ctx ends, which it returns as no error. Then it writes back what is held, so that the programs count it, and closes
// the socket: a queue runs once.
func (q *Queue) Run(ctx context.Context) error {
	d, ok := q.socket.(deadliner)
	if !ok {
		return errors.New("read packets: the socket knows no time-outs")
	}
	stop := context.AfterFunc(ctx, func() { _ = d.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	defer q.close()

	buffer := make([]byte, maxPacket)
	var settleAt time.Time
	for ctx.Err() == nil {
		now := q.now()
		if err := errors.Join(d.SetReadDeadline(now.Add(q.attend(now))), d.SetWriteDeadline(now.Add(maxWait))); err != nil {
			return fmt.Errorf("set the time-out of a packet socket: %w", err)
		}
		if !now.Before(settleAt) {
			q.settleOld()
			settleAt = now.Add(settleEvery)
		}
		if ctx.Err() != nil {
			return nil // the deadline that was to end the read is overwritten
		}
		n, err := q.socket.Read(buffer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case errors.Is(err, os.ErrClosed):
			return fmt.Errorf("read packets: %w", err)
		case err != nil:
			if !errors.Is(err, unix.ENETDOWN) {
				q.log.Warn("cannot read packets; tried again", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(pauseAfterError):
			}
			continue
		}
		if f, ok := parse(buffer[:n], q.now()); ok {
			f.raw = append(make([]byte, 0, n), f.raw...)
			q.arrive(f)
		}
	}
	return nil
}

// attend gives up what has waited for too long, asks again for the rest, and returns when to look next.
func (q *Queue) attend(now time.Time) time.Duration {
	q.mu.Lock()
	var again []wanted
	for key, h := range q.holds {
		late := 0
		for late < len(h.frames) && now.Sub(h.frames[late].at) >= maxWait {
			f := h.frames[late]
			q.letGo(f)
			q.stats.TimedOut++
			q.write(f.raw)
			late++
		}
		h.frames = h.frames[late:]
		if len(h.frames) == 0 {
			delete(q.holds, key)
		} else if now.Sub(h.asked) >= askEvery {
			h.asked = now
			again = append(again, key)
		}
	}
	next := idleEvery
	if len(q.holds) > 0 {
		next = lookEvery
	}
	q.mu.Unlock()
	for _, key := range again {
		q.ask(key)
	}
	return next
}

func (q *Queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for key, h := range q.holds {
		for _, f := range h.frames {
			q.letGo(f)
			q.write(f.raw)
		}
		delete(q.holds, key)
	}
	_ = q.socket.Close()
}
