// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/lifecycle"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

const (
	// retryEvery is the time between two passes over the instances without a place; a report brings the next one forward.
	retryEvery = 2 * time.Second
	// retrySpacing is the least time between two passes, however many reports come.
	retrySpacing = 200 * time.Millisecond
	// retryBatch bounds what one transaction, which keeps others from placing, does.
	retryBatch = 256
	// retryPass bounds what one pass does; those that were tried longest ago come first in the next.
	retryPass = 2048
	// retryTimeout bounds one pass, should the database hang.
	retryTimeout = time.Minute
)

// wakeRetry asks for a pass soon. It never blocks.
func (r *Root) wakeRetry() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// retryUnplaced looks again and again for places for instances that have none, or that their cluster could not place.
func (r *Root) retryUnplaced(ctx context.Context) error {
	for {
		timer := time.NewTimer(retryEvery*3/4 + rand.N(retryEvery/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
		if err := r.retryAll(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("could not look for places for instances; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retrySpacing):
		}
	}
}

// due selects the instances to look for a place for, as of $1: those that no cluster has, that a cluster gives back by one of the states $3 or
// keeps on a drained worker only until another cluster has them,
// or that are with a cluster that was silent for $2 seconds and have not ended for good. One of which its cluster has never said anything is taken
// from it once its time is up.
var due = fmt.Sprintf(`FROM instance WHERE deleted_at IS NULL AND NOT held AND next_attempt <= $1 AND (cluster_id IS NULL OR state = ANY($3) OR leaving
	OR state = '%s' AND placed_at < $1 - interval '%d seconds' AND (reported_at IS NULL OR reported_at < placed_at)
	OR state NOT IN ('%s', '%s') AND cluster_id IN (%s))`,
	wire.StateClusterScheduled, lifecycle.AnswerWithin/time.Second, wire.StateCompleted, wire.StateDead, lostClusters)

func (r *Root) dueArgs(start time.Time) []any {
	return []any{start, r.lostBefore(time.Now()), givenBack()}
}

// givenBack returns the states by which a cluster says that it cannot place an instance.
func givenBack() []wire.State {
	return []wire.State{wire.StateNoWorkerCapacity, wire.StateNoQualifiedWorker}
}

// retryAll makes one pass, in batches.
func (r *Root) retryAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, retryTimeout)
	defer cancel()
	// Each is tried once a pass: a failed attempt moves it behind this time.
	var start time.Time
	err := r.pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&start)
	r.listening.look(time.Now(), err == nil)
	if err != nil {
		return err
	}
	for done := 0; done < retryPass; done += retryBatch {
		// Most of the time there is none: look without the lock first.
		var some bool
		if err := r.pool.QueryRow(ctx, `SELECT EXISTS (SELECT `+due+`)`, r.dueArgs(start)...).Scan(&some); err != nil || !some {
			return err
		}
		if err := r.retryOnce(ctx, start); err != nil {
			return err
		}
	}
	return nil
}

// retryOnce tries one batch of those due at start.
func (r *Root) retryOnce(ctx context.Context, start time.Time) error {
	return r.placing(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT service_id, number `+due+` ORDER BY next_attempt, service_id, number LIMIT $4`,
			append(r.dueArgs(start), retryBatch)...)
		if err != nil {
			return err
		}
		keys, err := pgx.CollectRows(rows, pgx.RowToStructByPos[wire.InstanceKey])
		if err != nil {
			return err
		}
		view, err := r.loadClusters(ctx, tx)
		if err != nil {
			return err
		}
		list, err := loadInstances(ctx, tx, keys)
		if err != nil {
			return err
		}
		if err := r.placeAll(ctx, tx, list, view); err != nil {
			return err
		}
		for _, i := range list {
			if i.state == wire.StateClusterScheduled {
				r.log.Info("instance has got a place", "instance", i.InstanceKey.String(), "cluster", i.cluster, "placement", i.placement)
			}
		}
		return nil
	})
}

// tryAgain brings forward the next attempt for instances that another cluster gives back, once capacity has appeared in a cluster.
func tryAgain(ctx context.Context, tx pgx.Tx, cluster string, gains uint64) error {
	_, err := tx.Exec(ctx, `UPDATE instance SET next_attempt = now() WHERE deleted_at IS NULL AND (state = ANY($1) OR leaving) AND cluster_id <> $2
		AND next_attempt > now() AND EXISTS (SELECT FROM cluster WHERE id = $2 AND coalesce((aggregate->>'gains')::numeric, 0) <> $3)`,
		givenBack(), cluster, gains)
	if err != nil {
		return fmt.Errorf("bring attempts to place instances forward: %w", err)
	}
	return nil
}
