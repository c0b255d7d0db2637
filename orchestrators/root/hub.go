// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/oakestra/oakestra-ebpf/orchestrators/root/abroad"
)

// desiredChannel is the Postgres channel on which root processes tell one another that a cluster's desired state changed.
const desiredChannel = "oakestra_desired"

// listenTimeout bounds getting a connection that listens.
const listenTimeout = 10 * time.Second

// hub wakes queries that wait for something to change. What it passes on are hints: whoever waits also polls.
type hub struct {
	mu      sync.Mutex
	waiting map[topic]chan struct{} // closed at the next hint
}

// topic is what a hint is about: the payload of a notice, such as a cluster's id, on a channel of the database's.
type topic struct{ channel, about string }

func newHub() *hub { return &hub{waiting: map[topic]chan struct{}{}} }

// wait returns a channel that is closed at the next such hint. Entries are bounded by the number of clusters.
func (h *hub) wait(channel, about string) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := topic{channel, about}
	ch, ok := h.waiting[t]
	if !ok {
		ch = make(chan struct{})
		h.waiting[t] = ch
	}
	return ch
}

func (h *hub) hint(channel, about string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := topic{channel, about}
	if ch, ok := h.waiting[t]; ok {
		close(ch)
		delete(h.waiting, t)
	}
}

// hintAll wakes everybody: what was told while nobody listened is not known.
func (h *hub) hintAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ch := range h.waiting {
		close(ch)
	}
	clear(h.waiting)
}

// listen passes on hints from the database until ctx ends, connecting again after each loss.
func (h *hub) listen(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) error {
	for {
		err := h.listenOnce(ctx, pool)
		if ctx.Err() != nil {
			return nil
		}
		log.Debug("lost the channel of hints; clusters poll meanwhile", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second*3/4 + rand.N(time.Second/2)):
		}
	}
}

func (h *hub) listenOnce(ctx context.Context, pool *pgxpool.Pool) error {
	acquire, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	conn, err := pool.Acquire(acquire)
	if err != nil {
		return err
	}
	// The connection goes with its LISTEN, so that nobody else gets the notices.
	raw := conn.Hijack()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = raw.Close(ctx)
	}()
	for _, channel := range []string{desiredChannel, abroad.Channel, eventChannel} {
		if _, err := raw.Exec(acquire, "LISTEN "+channel); err != nil {
			return err
		}
	}
	h.hintAll()
	for {
		n, err := raw.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		h.hint(n.Channel, n.Payload)
	}
}
