// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// desiredChannel is the Postgres channel on which root processes tell one another that a cluster's desired state changed.
const desiredChannel = "oakestra_desired"

// listenTimeout bounds getting a connection that listens.
const listenTimeout = 10 * time.Second

// hub wakes queries that wait for a cluster's desired state. What it passes on are hints: whoever waits also polls.
type hub struct {
	mu      sync.Mutex
	waiting map[string]chan struct{} // by cluster; closed at the next hint
}

func newHub() *hub { return &hub{waiting: map[string]chan struct{}{}} }

// wait returns a channel that is closed at the next hint about the cluster. Entries are bounded by the number of clusters.
func (h *hub) wait(clusterID string) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	ch, ok := h.waiting[clusterID]
	if !ok {
		ch = make(chan struct{})
		h.waiting[clusterID] = ch
	}
	return ch
}

func (h *hub) hint(clusterID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ch, ok := h.waiting[clusterID]; ok {
		close(ch)
		delete(h.waiting, clusterID)
	}
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
	if _, err := raw.Exec(acquire, "LISTEN "+desiredChannel); err != nil {
		return err
	}
	for {
		n, err := raw.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		h.hint(n.Payload)
	}
}
