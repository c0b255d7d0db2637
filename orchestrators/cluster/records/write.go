// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
)

// StoreChanges stores decisions. Every row is written whole, so that one that was lost behind the orchestrator's back is there
// again.
func StoreChanges(ctx context.Context, tx pgx.Tx, ch ledger.Changes) error {
	b := &pgx.Batch{}
	for key := range ch.DropInstances {
		b.Queue(`DELETE FROM instance WHERE service_id = $1 AND instance_number = $2`, key.ServiceID, key.Number)
	}
	for _, i := range ch.Instances {
		b.Queue(`INSERT INTO instance (service_id, instance_number, placement, last_move, wanted, spec) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (service_id, instance_number) DO UPDATE SET placement = excluded.placement, last_move = excluded.last_move,
			wanted = excluded.wanted, spec = excluded.spec`, i.ServiceID, i.Number, i.Placement, i.LastMove, i.Wanted, i.Spec)
	}
	for id := range ch.DropCopies {
		b.Queue(`DELETE FROM placement WHERE service_id = $1 AND instance_number = $2 AND placement = $3 AND move = $4`,
			id.ServiceID, id.Number, id.Generation.Placement, id.Generation.Move)
	}
	for _, c := range ch.Copies {
		b.Queue(`INSERT INTO placement (service_id, instance_number, placement, move, worker_id, stop, spec, state, detail, since)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (service_id, instance_number, placement, move) DO UPDATE
			SET worker_id = excluded.worker_id, stop = excluded.stop, spec = excluded.spec`,
			c.ServiceID, c.Number, c.Generation.Placement, c.Generation.Move, c.Worker, c.Stop, c.Spec,
			string(c.Report.State), c.Report.Detail, c.Report.Since)
	}
	for _, o := range ch.Orders {
		b.Queue(`UPDATE worker SET mode = $2, mode_reason = $3, order_epoch = $4, order_revision = $5 WHERE id = $1`,
			o.WorkerID, string(o.Mode), o.Reason, int64(o.Stamp.Epoch), int64(o.Stamp.Revision))
	}
	for key := range ch.DropRemovals {
		b.Queue(`DELETE FROM removal WHERE service_id = $1 AND instance_number = $2`, key.ServiceID, key.Number)
	}
	for _, r := range ch.Removals {
		b.Queue(`INSERT INTO removal (service_id, instance_number, placement, done) VALUES ($1, $2, $3, $4)
			ON CONFLICT (service_id, instance_number) DO UPDATE SET placement = excluded.placement, done = excluded.done`,
			r.ServiceID, r.Number, r.Placement, r.Done)
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("store decisions: %w", err)
	}
	return nil
}

// StoreSeen stores what was seen from below: states of copies, and what NetManagers told. A part of an overlay that is nil stays
// as it was.
func StoreSeen(ctx context.Context, tx pgx.Tx, copies []ledger.Copy, overlays []Overlay) error {
	b := &pgx.Batch{}
	for _, c := range copies {
		b.Queue(`UPDATE placement SET state = $5, detail = $6, since = $7, ready = $8
			WHERE service_id = $1 AND instance_number = $2 AND placement = $3 AND move = $4`,
			c.ServiceID, c.Number, c.Generation.Placement, c.Generation.Move, string(c.Report.State), c.Report.Detail, c.Report.Since, c.Report.Ready)
	}
	for _, o := range overlays {
		b.Queue(`INSERT INTO overlay (worker_id, endpoints, interest) VALUES ($1, $2, $3) ON CONFLICT (worker_id) DO UPDATE
			SET endpoints = coalesce(excluded.endpoints, overlay.endpoints), interest = coalesce(excluded.interest, overlay.interest)`,
			o.WorkerID, o.Endpoints, o.Interest)
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("store what was seen: %w", err)
	}
	return nil
}
