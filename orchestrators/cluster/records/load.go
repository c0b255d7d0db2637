// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
)

// Overlay is what a NetManager has last told. A nil part was never told.
type Overlay struct {
	WorkerID  string
	Endpoints *wire.NetEndpoints
	Interest  *wire.NetInterest
}

// Stored is all that a cluster orchestrator starts from.
type Stored struct {
	Workers   []Worker
	Instances []ledger.Instance
	Copies    []ledger.Copy
	Removals  []ledger.Removal
	Overlays  []Overlay
}

// Load reads everything in one snapshot.
func Load(ctx context.Context, tx pgx.Tx) (s Stored, err error) {
	if _, err := tx.Exec(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`); err != nil {
		return s, fmt.Errorf("take snapshot: %w", err)
	}
	if s.Workers, err = Workers(ctx, tx); err != nil {
		return s, err
	}
	if err := s.loadInstances(ctx, tx); err != nil {
		return s, fmt.Errorf("read instances: %w", err)
	}
	if err := s.loadCopies(ctx, tx); err != nil {
		return s, fmt.Errorf("read placements: %w", err)
	}
	if err := s.loadRemovals(ctx, tx); err != nil {
		return s, fmt.Errorf("read removals: %w", err)
	}
	if err := s.loadOverlays(ctx, tx); err != nil {
		return s, fmt.Errorf("read overlay: %w", err)
	}
	return s, nil
}

func (s *Stored) loadInstances(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT service_id, instance_number, placement, last_move, wanted, spec, refusals FROM instance`)
	if err != nil {
		return err
	}
	s.Instances, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (i ledger.Instance, err error) {
		err = row.Scan(&i.ServiceID, &i.Number, &i.Placement, &i.LastMove, &i.Wanted, &i.Spec, &i.Refusals)
		return i, err
	})
	return err
}

func (s *Stored) loadCopies(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT service_id, instance_number, placement, move, worker_id, stop, spec, state, detail, since, ready FROM placement`)
	if err != nil {
		return err
	}
	s.Copies, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c ledger.Copy, err error) {
		err = row.Scan(&c.ServiceID, &c.Number, &c.Generation.Placement, &c.Generation.Move, &c.Worker, &c.Stop, &c.Spec,
			&c.Report.State, &c.Report.Detail, &c.Report.Since, &c.Report.Ready)
		c.Report.InstanceKey, c.Report.Generation = c.InstanceKey, c.Generation
		return c, err
	})
	return err
}

func (s *Stored) loadRemovals(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT service_id, instance_number, placement, done FROM removal`)
	if err != nil {
		return err
	}
	s.Removals, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r ledger.Removal, err error) {
		err = row.Scan(&r.ServiceID, &r.Number, &r.Placement, &r.Done)
		return r, err
	})
	return err
}

func (s *Stored) loadOverlays(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT worker_id, endpoints, interest FROM overlay`)
	if err != nil {
		return err
	}
	s.Overlays, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o Overlay, err error) {
		err = row.Scan(&o.WorkerID, &o.Endpoints, &o.Interest)
		return o, err
	})
	return err
}
