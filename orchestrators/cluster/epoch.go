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
	epoch, err := store.RaiseEpochAbove(ctx, c.pool, above)
	if err != nil {
		return err
	}
	c.log.Info("epoch raised", "epoch", epoch)
	c.epoch.Store(epoch)
	c.plane.Do(func(core *overlay.Core) []overlay.Message { core.SetEpoch(epoch); return nil })
	c.republish()
	return nil
}

// checkEpoch fails with an error that wraps [records.ErrTakenOver] once the database is another process's.
func (c *Cluster) checkEpoch(ctx context.Context) error {
	return store.InTx(ctx, c.pool, func(tx pgx.Tx) error { return records.CheckEpoch(ctx, tx, c.epoch.Load()) })
}
