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

// decideEvery is how often everything is looked at although nothing was news: workers become silent and lost by the clock.
// fenceEvery is how often this process makes sure that the database is still its own.
const (
	decideEvery = time.Second
	fenceEvery  = 5 * time.Second
	// maxPause bounds the pause between two decisions.
	maxPause = 20 * time.Millisecond
)

// runDecider decides whenever something is news. It returns only when ctx ends or the database has been taken over.
func (c *Cluster) runDecider(ctx context.Context) error {
	tick := time.NewTicker(decideEvery)
	defer tick.Stop()
	retry := uplink.Backoff{Least: 100 * time.Millisecond, Most: 2 * time.Second}
	away := false
	fenced := time.Now()
	for {
		began := time.Now()
		err := c.decideAll(ctx)
		took := time.Since(began)
		if err == nil && time.Since(fenced) > fenceEvery {
			if err = c.checkEpoch(ctx); err == nil {
				fenced = time.Now()
			}
		}
		switch {
		case errors.Is(err, records.ErrTakenOver):
			return err
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if !away {
				c.log.Warn("database is away: routes and liveness go on, decisions wait for it", "error", err)
			}
			away = true
			if !retry.Wait(ctx) {
				return nil
			}
			continue
		case away:
			c.log.Info("database is back")
			away = false
		}
		retry.Reset()
		select {
		case <-ctx.Done():
			return nil
		case <-c.wakeDecider:
			// In a storm of news a part of the time is for others, and what comes meanwhile is decided at once.
			time.Sleep(min(took/2, maxPause))
		case <-tick.C:
		}
	}
}

func (c *Cluster) decideAll(ctx context.Context) error {
	if err := c.meetOuter(ctx); err != nil {
		return err
	}
	if err := c.raiseEpoch(ctx); err != nil {
		return err
	}
	c.republishOverruled()
	if err := c.adopt(ctx); err != nil {
		return err
	}
	return c.commit(ctx, func(l *ledger.Ledger) ledger.Changes {
		if len(c.unclaimed) > 0 {
			// More came meanwhile: to be adopted first, lest an instance that runs is placed a second time.
			wake(c.wakeDecider)
			return ledger.Changes{}
		}
		c.noteAway(time.Now())
		changes := l.Reconcile(time.Now())
		for d := range changes.Doubles {
			c.log.Warn("stopping an instance whose generation another worker was given too: were databases restored?", "worker", d.Worker,
				"instance", d.InstanceKey, "generation", d.Generation)
		}
		return changes
	})
}

// commit computes a decision, stores it, and only then applies and publishes it. also runs in the same transaction.
func (c *Cluster) commit(ctx context.Context, compute func(*ledger.Ledger) ledger.Changes, also ...func(context.Context, pgx.Tx) error) error {
	c.decide.Lock()
	defer c.decide.Unlock()
	c.mu.Lock()
	changes := compute(c.ledger)
	c.ledger.Complete(&changes)
	c.mu.Unlock()
	if changes.Empty() && len(also) == 0 {
		return nil
	}
	begin := time.Now()
	err := c.inEpoch(ctx, func(tx pgx.Tx) error {
		for _, f := range also {
			if err := f(ctx, tx); err != nil {
				return err
			}
		}
		return records.StoreChanges(ctx, tx, changes)
	})
	if err != nil {
		return err
	}
	c.gauges.decision.Observe(time.Since(begin).Seconds())
	c.mu.Lock()
	affected := c.ledger.Apply(changes)
	c.mu.Unlock()
	for _, w := range affected.Workers {
		c.publishDesired(w)
	}
	c.feedSoon(affected.Services)
	wake(c.wakeReporter)
	return nil
}

// adopt takes in instances that run on workers although nothing says so. Root is asked for everything, since it may know them.
func (c *Cluster) adopt(ctx context.Context) error {
	c.mu.Lock()
	pending := c.unclaimed
	c.unclaimed = map[string]map[ledger.CopyID]unclaimedInstance{}
	c.mu.Unlock()
	for worker, instances := range pending {
		list := slices.Collect(maps.Values(instances))
		err := c.commit(ctx, func(l *ledger.Ledger) ledger.Changes {
			changes, held := l.Adopt(worker, list)
			for _, h := range held {
				c.log.Warn("unclaimed instance is not adopted: its generation contradicts a copy that is known; it runs on",
					"worker", worker, "instance", h.InstanceKey, "generation", h.Generation)
			}
			if !changes.Empty() {
				c.log.Warn("adopting instances that run although their rows were lost", "worker", worker, "copies", len(changes.Copies))
				c.askEverything()
			}
			return changes
		})
		if err != nil {
			c.mu.Lock()
			for w, instances := range pending {
				if c.unclaimed[w] == nil {
					c.unclaimed[w] = instances
				}
			}
			c.mu.Unlock()
			return err
		}
		delete(pending, worker)
	}
	return nil
}
