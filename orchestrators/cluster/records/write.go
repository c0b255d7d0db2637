// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/cluster/ledger"
)

// StoreChanges stores decisions, each kind in one statement however many they are. Every row is written whole, so that one that was lost
// behind the orchestrator's back is there again.
func StoreChanges(ctx context.Context, tx pgx.Tx, ch ledger.Changes) error {
	b := &pgx.Batch{}
	if len(ch.DropInstances) > 0 {
		services, numbers := columns(ch.DropInstances)
		b.Queue(`DELETE FROM instance i USING unnest($1::text[], $2::int[]) AS k (service, number)
			WHERE i.service_id = k.service AND i.instance_number = k.number`, services, numbers)
	}
	if err := queueInstances(b, ch.Instances); err != nil {
		return err
	}
	if len(ch.DropCopies) > 0 {
		var at copyColumns
		for id := range ch.DropCopies {
			at.add(id)
		}
		b.Queue(`DELETE FROM placement p USING unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS k (service, number, placement, move)
			WHERE p.service_id = k.service AND p.instance_number = k.number AND p.placement = k.placement AND p.move = k.move`,
			at.services, at.numbers, at.placements, at.moves)
	}
	if err := queueCopies(b, ch.Copies); err != nil {
		return err
	}
	for _, o := range ch.Orders {
		b.Queue(`UPDATE worker SET mode = $2, mode_reason = $3, order_epoch = $4, order_revision = $5 WHERE id = $1`,
			o.WorkerID, string(o.Mode), o.Reason, int64(o.Stamp.Epoch), int64(o.Stamp.Revision))
	}
	if len(ch.DropRemovals) > 0 {
		services, numbers := columns(ch.DropRemovals)
		b.Queue(`DELETE FROM removal r USING unnest($1::text[], $2::int[]) AS k (service, number)
			WHERE r.service_id = k.service AND r.instance_number = k.number`, services, numbers)
	}
	if len(ch.Removals) > 0 {
		services, numbers := columns(ch.Removals)
		placements, done := make([]int64, len(services)), make([]bool, len(services))
		for n := range services {
			r := ch.Removals[wire.InstanceKey{ServiceID: services[n], Number: numbers[n]}]
			placements[n], done[n] = int64(r.Placement), r.Done
		}
		b.Queue(`INSERT INTO removal (service_id, instance_number, placement, done) SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::boolean[])
			ON CONFLICT (service_id, instance_number) DO UPDATE SET placement = excluded.placement, done = excluded.done`,
			services, numbers, placements, done)
	}
	if b.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("store decisions: %w", err)
	}
	return nil
}

func queueInstances(b *pgx.Batch, all map[wire.InstanceKey]ledger.Instance) error {
	if len(all) == 0 {
		return nil
	}
	services, numbers := columns(all)
	placements, moves := make([]int64, len(all)), make([]int64, len(all))
	wanted, specs, refusals := make([]bool, len(all)), make([]string, len(all)), make([]*string, len(all))
	for n := range services {
		i := all[wire.InstanceKey{ServiceID: services[n], Number: numbers[n]}]
		spec, err := json.Marshal(i.Spec)
		if err != nil {
			return fmt.Errorf("store instance %s: %w", i.InstanceKey, err)
		}
		placements[n], moves[n], wanted[n], specs[n] = int64(i.Placement), int64(i.LastMove), i.Wanted, string(spec)
		if len(i.Refusals) == 0 {
			continue
		}
		text, err := json.Marshal(i.Refusals)
		if err != nil {
			return fmt.Errorf("store who has refused instance %s: %w", i.InstanceKey, err)
		}
		refusals[n] = new(string)
		*refusals[n] = string(text)
	}
	b.Queue(`INSERT INTO instance (service_id, instance_number, placement, last_move, wanted, spec, refusals)
		SELECT service, number, placement, move, wanted, spec::jsonb, refusals::jsonb
		FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::boolean[], $6::text[], $7::text[])
			AS i (service, number, placement, move, wanted, spec, refusals)
		ON CONFLICT (service_id, instance_number) DO UPDATE SET placement = excluded.placement, last_move = excluded.last_move,
		wanted = excluded.wanted, spec = excluded.spec, refusals = excluded.refusals`, services, numbers, placements, moves, wanted, specs, refusals)
	return nil
}

func queueCopies(b *pgx.Batch, all map[ledger.CopyID]ledger.Copy) error {
	if len(all) == 0 {
		return nil
	}
	var at copyColumns
	workers, states, details, specs := make([]string, 0, len(all)), make([]string, 0, len(all)), make([]string, 0, len(all)), make([]string, 0, len(all))
	stops, sinces, ready := make([]bool, 0, len(all)), make([]time.Time, 0, len(all)), make([]*bool, 0, len(all))
	for id, c := range all {
		spec, err := json.Marshal(c.Spec)
		if err != nil {
			return fmt.Errorf("store placement of instance %s: %w", id.InstanceKey, err)
		}
		at.add(id)
		workers, states, details = append(workers, c.Worker), append(states, string(c.Report.State)), append(details, c.Report.Detail)
		specs, stops, sinces, ready = append(specs, string(spec)), append(stops, c.Stop), append(sinces, c.Report.Since), append(ready, c.Report.Ready)
	}
	// What is stored of a copy's state may be newer than the decision, but of another worker's copy it says nothing.
	b.Queue(`INSERT INTO placement AS p (service_id, instance_number, placement, move, worker_id, stop, spec, state, detail, since, ready)
		SELECT service, number, placement, move, worker, stop, spec::jsonb, state, detail, since, ready
		FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::text[], $6::boolean[], $7::text[], $8::text[], $9::text[], $10::timestamptz[],
			$11::boolean[]) AS c (service, number, placement, move, worker, stop, spec, state, detail, since, ready)
		ON CONFLICT (service_id, instance_number, placement, move) DO UPDATE
		SET worker_id = excluded.worker_id, stop = excluded.stop, spec = excluded.spec,
			state = CASE WHEN p.worker_id = excluded.worker_id THEN p.state ELSE excluded.state END,
			detail = CASE WHEN p.worker_id = excluded.worker_id THEN p.detail ELSE excluded.detail END,
			since = CASE WHEN p.worker_id = excluded.worker_id THEN p.since ELSE excluded.since END,
			ready = CASE WHEN p.worker_id = excluded.worker_id THEN p.ready ELSE excluded.ready END`,
		at.services, at.numbers, at.placements, at.moves, workers, stops, specs, states, details, sinces, ready)
	return nil
}

// StoreSeen stores what was seen from below: states of copies, and what NetManagers told. What was seen of a copy while another worker
// had it is not stored. A part of an overlay that is nil stays as it was.
func StoreSeen(ctx context.Context, tx pgx.Tx, copies []ledger.Copy, overlays []Overlay) error {
	b := &pgx.Batch{}
	if len(copies) > 0 {
		var at copyColumns
		workers, states, details := make([]string, len(copies)), make([]string, len(copies)), make([]string, len(copies))
		sinces, ready := make([]time.Time, len(copies)), make([]*bool, len(copies))
		for n := range copies {
			c := &copies[n]
			at.add(ledger.CopyID{InstanceKey: c.InstanceKey, Generation: c.Generation})
			workers[n], states[n], details[n] = c.Worker, string(c.Report.State), c.Report.Detail
			sinces[n], ready[n] = c.Report.Since, c.Report.Ready
		}
		b.Queue(`UPDATE placement p SET state = s.state, detail = s.detail, since = s.since, ready = s.ready
			FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::boolean[])
				AS s (service, number, placement, move, worker, state, detail, since, ready)
			WHERE p.service_id = s.service AND p.instance_number = s.number AND p.placement = s.placement AND p.move = s.move
				AND p.worker_id = s.worker`,
			at.services, at.numbers, at.placements, at.moves, workers, states, details, sinces, ready)
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

// columns returns the parts of the keys, for a statement about all of them.
func columns[V any](of map[wire.InstanceKey]V) (services []string, numbers []int) {
	services, numbers = make([]string, 0, len(of)), make([]int, 0, len(of))
	for key := range of {
		services, numbers = append(services, key.ServiceID), append(numbers, key.Number)
	}
	return services, numbers
}

// copyColumns are the parts of copies' names.
type copyColumns struct {
	services          []string
	numbers           []int
	placements, moves []int64
}

func (c *copyColumns) add(id ledger.CopyID) {
	c.services, c.numbers = append(c.services, id.ServiceID), append(c.numbers, id.Number)
	c.placements, c.moves = append(c.placements, int64(id.Generation.Placement)), append(c.moves, int64(id.Generation.Move))
}
