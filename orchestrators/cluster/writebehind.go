// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/uplink"
)

// gatherWrites is how long what was seen is gathered into one transaction.
const gatherWrites = 20 * time.Millisecond

// writeBehind is what was seen from below and is not stored yet. It holds at most one entry a copy and a worker, however long
// Postgres is away.
type writeBehind struct {
	copies   map[ledger.CopyID]struct{}
	overlays map[string]*records.Overlay
}

func newWriteBehind() writeBehind {
	return writeBehind{copies: map[ledger.CopyID]struct{}{}, overlays: map[string]*records.Overlay{}}
}

func (b *writeBehind) put(worker string) *records.Overlay {
	if b.overlays[worker] == nil {
		b.overlays[worker] = &records.Overlay{WorkerID: worker}
	}
	return b.overlays[worker]
}

// merge puts back what could not be stored; what came meanwhile is newer.
func (b *writeBehind) merge(old writeBehind) {
	maps.Copy(b.copies, old.copies)
	for id, o := range old.overlays {
		have := b.put(id)
		if have.Endpoints == nil {
			have.Endpoints = o.Endpoints
		}
		if have.Interest == nil {
			have.Interest = o.Interest
		}
	}
}

// runWriter stores what was seen, until ctx ends; then once more, so that a clean exit loses nothing.
func (c *Cluster) runWriter(ctx context.Context) {
	retry := uplink.Backoff{Least: 100 * time.Millisecond, Most: 2 * time.Second}
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			if err := c.flushSeen(last); err != nil {
				c.log.Warn("could not store what was seen last; workers tell it again", "error", err)
			}
			return
		case <-c.wakeWriter:
		}
		timer := time.NewTimer(gatherWrites)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		for ctx.Err() == nil {
			err := c.flushSeen(ctx)
			if err == nil {
				retry.Reset()
				break
			}
			if errors.Is(err, records.ErrTakenOver) {
				break // the decider ends the process
			}
			c.log.Warn("could not store what was seen, trying again", "error", err)
			if !retry.Wait(ctx) {
				break
			}
		}
	}
}

func (c *Cluster) flushSeen(ctx context.Context) error {
	c.mu.Lock()
	batch := c.behind
	c.behind = newWriteBehind()
	var copies []ledger.Copy
	for id := range batch.copies {
		if x, ok := c.ledger.Copy(id); ok {
			copies = append(copies, x)
		}
	}
	c.mu.Unlock()
	if len(copies)+len(batch.overlays) == 0 {
		return nil
	}
	var overlays []records.Overlay
	for _, id := range slices.Sorted(maps.Keys(batch.overlays)) {
		overlays = append(overlays, *batch.overlays[id])
	}
	err := c.inEpoch(ctx, func(tx pgx.Tx) error {
		return records.StoreSeen(ctx, tx, copies, overlays)
	})
	if err != nil {
		c.mu.Lock()
		c.behind.merge(batch)
		c.mu.Unlock()
	}
	return err
}
