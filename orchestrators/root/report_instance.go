// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/lifecycle"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// applyInstances stores what a cluster says of instances, in a few statements however many they are. Of one instance it may say several
// things, of which the last counts.
func (r *Root) applyInstances(ctx context.Context, tx pgx.Tx, clusterID string, in *wire.ClusterReport, mayAdopt bool, ack *wire.ClusterReportAck) error {
	for _, wave := range waves(in.Instances) {
		rest, err := r.acknowledge(ctx, tx, clusterID, wave)
		if err != nil {
			return err
		}
		known, err := heldRows(ctx, tx, rest)
		if err != nil {
			return err
		}
		var news []*wire.InstanceReport
		for _, line := range rest {
			row, ok := known[line.InstanceKey]
			if !ok {
				if err := r.applyUnknown(ctx, tx, clusterID, in, line, ack); err != nil {
					return err
				}
				continue
			}
			believed, err := r.applyInstance(ctx, tx, clusterID, line, row, mayAdopt)
			if err != nil {
				return err
			}
			if believed {
				news = append(news, line)
			}
		}
		if err := storeInstances(ctx, tx, news); err != nil {
			return err
		}
	}
	return nil
}

// waves cuts a report's lines into parts in which no instance comes twice.
func waves(lines []wire.InstanceReport) (out [][]*wire.InstanceReport) {
	in := map[wire.InstanceKey]struct{}{}
	var wave []*wire.InstanceReport
	for n := range lines {
		if _, twice := in[lines[n].InstanceKey]; twice {
			out, wave = append(out, wave), nil
			clear(in)
		}
		in[lines[n].InstanceKey] = struct{}{}
		wave = append(wave, &lines[n])
	}
	if len(wave) > 0 {
		out = append(out, wave)
	}
	return out
}

// heldRow is what is known of an instance that a cluster tells of.
type heldRow struct {
	cluster         string
	placement, move int64
	deleted         bool
	state           wire.State
	orphan          bool // of a cluster that was deleted: nobody has it, and nobody is to stop it
}

// heldRows reads those of the lines' instances that this database knows.
func heldRows(ctx context.Context, tx pgx.Tx, lines []*wire.InstanceReport) (map[wire.InstanceKey]heldRow, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	services, numbers := columns(keysOf(lines))
	rows, err := tx.Query(ctx, `SELECT i.service_id, i.number, coalesce(i.cluster_id, ''), i.placement, i.move, i.deleted_at IS NOT NULL, i.state,
			i.cluster_id IS NULL AND i.deleted_at IS NULL AND i.placement > 0 AND NOT i.held
			AND NOT EXISTS (SELECT FROM tombstone t WHERE t.service_id = i.service_id AND t.number = i.number)
		FROM unnest($1::text[], $2::int[]) AS k (service, number) JOIN instance i ON i.service_id = k.service AND i.number = k.number`, services, numbers)
	if err != nil {
		return nil, fmt.Errorf("read %d instances: %w", len(lines), err)
	}
	known := make(map[wire.InstanceKey]heldRow, len(lines))
	var key wire.InstanceKey
	var row heldRow
	into := []any{&key.ServiceID, &key.Number, &row.cluster, &row.placement, &row.move, &row.deleted, &row.state, &row.orphan}
	if _, err := pgx.ForEachRow(rows, into, func() error { known[key] = row; return nil }); err != nil {
		return nil, fmt.Errorf("read %d instances: %w", len(lines), err)
	}
	return known, nil
}

func keysOf(lines []*wire.InstanceReport) []wire.InstanceKey {
	keys := make([]wire.InstanceKey, len(lines))
	for n, line := range lines {
		keys[n] = line.InstanceKey
	}
	return keys
}

// applyInstance decides on what a cluster says of one instance. Generations decide: of an older one than is known nothing is believed but its
// end. It reports whether the state is believed, and is to be stored.
func (r *Root) applyInstance(ctx context.Context, tx pgx.Tx, clusterID string, in *wire.InstanceReport, known heldRow, mayAdopt bool) (bool, error) {
	reported := int64(in.Generation.Placement)
	switch {
	case reported > known.placement && in.State != wire.StateUndeployed && !mayAdopt:
		r.log.Warn("cluster claims a newer placement of an instance than root has given; it is not believed", "cluster", clusterID,
			"instance", in.InstanceKey.String(), "placement", reported, "known", known.placement)
		return false, nil
	case reported > known.placement && in.State != wire.StateUndeployed:
		return r.adopt(ctx, tx, clusterID, in, known)
	case known.orphan && reported == known.placement && mayAdopt && in.State == wire.StateRunning:
		// Its cluster has joined again and runs it still.
		return r.adopt(ctx, tx, clusterID, in, known)
	case known.cluster != clusterID && in.State != wire.StateUndeployed:
		// It was given to another cluster since: this copy has to stop, once it has been replaced.
		return false, outdated(ctx, tx, clusterID, in)
	case known.cluster != clusterID, reported != known.placement, int64(in.Generation.Move) < known.move:
		return false, nil
	case int64(in.Generation.Move) == known.move && !lifecycle.Possible(known.state, in.State):
		r.log.Warn("cluster tells of an instance what cannot be; it is not believed", "cluster", clusterID, "instance", in.InstanceKey.String(),
			"from", known.state, "to", in.State)
		return false, nil
	}
	return true, nil
}

// acknowledge removes the tombstones that are answered by an UNDEPLOYED, and with them the instances that were waiting for that. It returns
// the other lines.
func (r *Root) acknowledge(ctx context.Context, tx pgx.Tx, clusterID string, lines []*wire.InstanceReport) (rest []*wire.InstanceReport, err error) {
	var ended []*wire.InstanceReport
	for _, line := range lines {
		if line.State == wire.StateUndeployed {
			ended = append(ended, line)
		}
	}
	if len(ended) == 0 {
		return lines, nil
	}
	services, numbers := columns(keysOf(ended))
	placements := make([]int64, len(ended))
	for n, line := range ended {
		placements[n] = int64(line.Generation.Placement)
	}
	rows, err := tx.Query(ctx, `DELETE FROM tombstone t USING unnest($2::text[], $3::int[], $4::bigint[]) AS k (service, number, placement)
		WHERE t.cluster_id = $1 AND t.service_id = k.service AND t.number = k.number AND t.placement <= k.placement RETURNING t.service_id, t.number`,
		clusterID, services, numbers, placements)
	if err != nil {
		return nil, fmt.Errorf("acknowledge tombstones of cluster %s: %w", clusterID, err)
	}
	gone, err := pgx.CollectRows(rows, pgx.RowToStructByPos[wire.InstanceKey])
	if err != nil {
		return nil, fmt.Errorf("acknowledge tombstones of cluster %s: %w", clusterID, err)
	}
	if err := r.reapInstances(ctx, tx, gone); err != nil {
		return nil, err
	}
	done := make(map[wire.InstanceKey]struct{}, len(gone))
	for _, key := range gone {
		done[key] = struct{}{}
	}
	for _, line := range lines {
		if _, ok := done[line.InstanceKey]; !ok {
			rest = append(rest, line)
		}
	}
	return rest, nil
}

// adopt takes over the generation of an instance that a cluster has and this database, being older, does not know of. It reports whether
// what the cluster says of it is to be stored.
func (r *Root) adopt(ctx context.Context, tx pgx.Tx, clusterID string, in *wire.InstanceReport, known heldRow) (bool, error) {
	r.log.Warn("cluster has a placement of an instance that root has given to nobody else: taking it over", "cluster", clusterID,
		"instance", in.InstanceKey.String(), "placement", in.Generation.Placement, "known", known.placement)
	if known.cluster != "" && known.cluster != clusterID {
		if err := bury(ctx, tx, known.cluster, in.InstanceKey, known.placement); err != nil {
			return false, err
		}
	}
	if known.deleted {
		return false, ensureBuried(ctx, tx, clusterID, in.InstanceKey, int64(in.Generation.Placement))
	}
	revision, err := raiseRevision(ctx, tx, clusterID)
	if err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, `UPDATE instance SET cluster_id = $3, placement = $4, revision = $5, placed_at = now(), move = 0
		WHERE service_id = $1 AND number = $2`, in.ServiceID, in.Number, clusterID, int64(in.Generation.Placement), revision)
	if err != nil {
		return false, fmt.Errorf("adopt instance %s: %w", in.InstanceKey, err)
	}
	return true, nil
}

// ensureBuried leaves a tombstone unless there is one that covers the placement already.
func ensureBuried(ctx context.Context, tx pgx.Tx, clusterID string, key wire.InstanceKey, placement int64) error {
	var covered bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM tombstone WHERE cluster_id = $1 AND service_id = $2 AND number = $3 AND placement >= $4)`,
		clusterID, key.ServiceID, key.Number, placement).Scan(&covered)
	if err != nil {
		return fmt.Errorf("look up tombstone of instance %s: %w", key, err)
	}
	if covered {
		return nil
	}
	return bury(ctx, tx, clusterID, key, placement)
}
