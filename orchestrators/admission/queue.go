// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"container/list"
	"io"
	"sync"
)

// Queue holds connections that have not said anything yet, at most so many. One more closes the one that has waited longest:
// whoever means it takes milliseconds, so that silent ones, however many, keep nobody out.
type Queue struct {
	most    int
	mu      sync.Mutex
	waiting *list.List
}

// NewQueue returns a queue for most connections, at least 1.
func NewQueue(most int) *Queue { return &Queue{most: max(most, 1), waiting: list.New()} }

// Enter puts a connection into the queue. The returned function takes it out, and has to be called; it reports false if the
// connection was closed to make room.
func (q *Queue) Enter(conn io.Closer) (leave func() bool) {
	q.mu.Lock()
	own := q.waiting.PushBack(conn)
	var oldest io.Closer
	if q.waiting.Len() > q.most {
		front := q.waiting.Front()
		oldest, _ = q.waiting.Remove(front).(io.Closer)
		front.Value = nil
	}
	q.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close()
	}
	return func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		if own.Value == nil {
			return false
		}
		q.waiting.Remove(own)
		own.Value = nil
		return true
	}
}
