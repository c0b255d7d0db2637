// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/overlay"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/records"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// maxAhead is how far an epoch may lie in the future before it is taken for a lie or a broken clock.
const maxAhead = 24 * time.Hour

// noteEpoch notes an epoch that a worker says it holds of this cluster's state. A higher one than this process's means that the
// database was restored from a backup: what is published now would be ignored. One that lies further ahead than a day is a lie or a
// broken clock, and is ignored.
func (c *Cluster) noteEpoch(worker string, seen uint64) {
	if seen <= c.epoch.Load() {
		return
	}
	if seen > uint64(time.Now().Add(maxAhead).UnixMilli()) {
		c.log.Warn("worker holds an epoch more than a day ahead, which is ignored: check the clocks", "worker", worker, "epoch", seen)
		return
	}
	for {
		have := c.seenEpoch.Load()
		if seen <= have {
			return
		}
		if c.seenEpoch.CompareAndSwap(have, seen) {
			wake(c.wakeDecider)
			return
		}
	}
}

// raiseEpoch raises the epoch above any that was seen from below and publishes everything anew.
func (c *Cluster) raiseEpoch(ctx context.Context) error {
	seen := c.seenEpoch.Load()
	if seen <= c.epoch.Load() {
		return nil
	}
	if err := c.renewEpoch(ctx, seen); err != nil {
		return err
	}
	c.log.Warn("raised the epoch above one that a worker holds, as after a restore; published everything anew", "seen", seen)
	return nil
}

// renewEpoch raises the epoch above one and publishes everything under it.
func (c *Cluster) renewEpoch(ctx context.Context, above uint64) error {
	c.decide.Lock()
	defer c.decide.Unlock()
	// A higher epoch may also be that of a process that has taken the database over: that one is not to be fought.
	if err := c.checkEpoch(ctx); err != nil {
		return err
	}
	epoch, err := c.takeEpoch(ctx, above)
	if err != nil {
		return err
	}
	c.log.Info("epoch raised", "epoch", epoch)
	c.plane.Do(func(core *overlay.Core) []overlay.Message { core.SetEpoch(epoch); return nil })
	c.republish()
	return nil
}

// takeEpoch raises the epoch in the database and here while nothing is written: who compared the two in between would take this process for
// another one, and itself for deposed.
func (c *Cluster) takeEpoch(ctx context.Context, above uint64) (uint64, error) {
	c.epochMu.Lock()
	defer c.epochMu.Unlock()
	epoch, err := store.RaiseEpochAbove(ctx, c.pool, above)
	if err == nil {
		c.epoch.Store(epoch)
	}
	return epoch, err
}

// inEpoch runs f in a transaction in which the database is this process's; once it is another one's, an error that wraps
// [records.ErrTakenOver] is returned.
func (c *Cluster) inEpoch(ctx context.Context, f func(pgx.Tx) error) error {
	c.epochMu.RLock()
	defer c.epochMu.RUnlock()
	return store.InTx(ctx, c.pool, func(tx pgx.Tx) error {
		if err := records.CheckEpoch(ctx, tx, c.epoch.Load()); err != nil {
			return err
		}
		return f(tx)
	})
}

// checkEpoch fails with an error that wraps [records.ErrTakenOver] once the database is another process's.
func (c *Cluster) checkEpoch(ctx context.Context) error {
	return c.inEpoch(ctx, func(pgx.Tx) error { return nil })
}
