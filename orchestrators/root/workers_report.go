// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// maxTold bounds the workers that a cluster tells of.
const maxTold = 10_000

// storeWorkers stores what a cluster tells of its workers.
func storeWorkers(ctx context.Context, tx pgx.Tx, clusterID string, list *wire.WorkerList) error {
	if list == nil {
		return nil
	}
	workers := list.Workers
	if workers == nil || list.Withheld {
		workers = []wire.WorkerView{}
	}
	_, err := tx.Exec(ctx, `UPDATE cluster SET workers_answered = least($2, workers_asked), workers_told_at = now(), workers_withheld = $3, workers = $4 WHERE id = $1`,
		clusterID, int64(min(list.Answers, math.MaxInt64)), list.Withheld, workers)
	if err != nil {
		return fmt.Errorf("store what cluster %s tells of its workers: %w", clusterID, err)
	}
	return nil
}

// cleanWorkers cuts a list of workers down to what can be stored and shown.
func cleanWorkers(list *wire.WorkerList) {
	if list == nil {
		return
	}
	list.Workers = list.Workers[:min(len(list.Workers), maxTold)]
	list.Workers = slices.DeleteFunc(list.Workers, func(w wire.WorkerView) bool { return !pki.ValidID(w.ID) || !w.Mode.Valid() })
	for i := range list.Workers {
		w := &list.Workers[i]
		for _, text := range []*string{&w.Name, &w.Status, &w.Architecture, &w.Version, &w.ModeReason} {
			*text = clip(*text, maxWord)
		}
		w.Reason = clip(w.Reason, maxDetail)
		w.Runtimes = words(w.Runtimes)
		w.Subnets = slices.DeleteFunc(w.Subnets[:min(len(w.Subnets), maxWords)], func(p netip.Prefix) bool { return !p.IsValid() })
	}
}

// workerOrders returns what is wanted of single workers of a cluster since a revision, and the number of the last question for them.
func workerOrders(ctx context.Context, tx pgx.Tx, clusterID string, since uint64) (orders []wire.WorkerOrder, asked uint64, err error) {
	var number int64
	if err := tx.QueryRow(ctx, `SELECT workers_asked FROM cluster WHERE id = $1`, clusterID).Scan(&number); err != nil {
		return nil, 0, fmt.Errorf("read cluster %s: %w", clusterID, err)
	}
	rows, err := tx.Query(ctx, `SELECT worker_id, mode, reason, epoch, revision FROM worker_order WHERE cluster_id = $1 AND revision > $2
		ORDER BY epoch, revision`, clusterID, int64(since))
	if err != nil {
		return nil, 0, fmt.Errorf("list orders for workers of cluster %s: %w", clusterID, err)
	}
	var o wire.WorkerOrder
	var epoch, revision int64
	_, err = pgx.ForEachRow(rows, []any{&o.WorkerID, &o.Mode, &o.Reason, &epoch, &revision}, func() error {
		o.Stamp = wire.Stamp{Epoch: uint64(epoch), Revision: uint64(revision)}
		orders = append(orders, o)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list orders for workers of cluster %s: %w", clusterID, err)
	}
	return orders, uint64(number), nil
}
