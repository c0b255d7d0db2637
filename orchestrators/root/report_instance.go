// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/lifecycle"
	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// applyInstance stores what a cluster says of one instance. Generations decide: of an older one than is known nothing is
// believed but its end. It reports whether this database knows the instance.
func (r *Root) applyInstance(ctx context.Context, tx pgx.Tx, clusterID string, in *wire.InstanceReport, mayAdopt bool) (known bool, err error) {
	if in.State == wire.StateUndeployed {
		acknowledged, err := r.acknowledge(ctx, tx, clusterID, in)
		if err != nil || acknowledged {
			return true, err
		}
	}
	var cluster string
	var placement, move int64
	var deleted bool
	var state wire.State
	var orphan bool // of a cluster that was deleted: nobody has it, and nobody is to stop it
	err = tx.QueryRow(ctx, `SELECT coalesce(cluster_id, ''), placement, move, deleted_at IS NOT NULL, state, cluster_id IS NULL AND deleted_at IS NULL AND placement > 0
		AND NOT held AND NOT EXISTS (SELECT FROM tombstone t WHERE t.service_id = instance.service_id AND t.number = instance.number) FROM instance
		WHERE service_id = $1 AND number = $2`, in.ServiceID, in.Number).Scan(&cluster, &placement, &move, &deleted, &state, &orphan)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("read instance %s: %w", in.InstanceKey, err)
	}
	reported := int64(in.Generation.Placement)
	switch {
	case reported > placement && in.State != wire.StateUndeployed && !mayAdopt:
		r.log.Warn("cluster claims a newer placement of an instance than root has given; it is not believed", "cluster", clusterID,
			"instance", in.InstanceKey.String(), "placement", reported, "known", placement)
		return true, nil
	case reported > placement && in.State != wire.StateUndeployed:
		return true, r.adopt(ctx, tx, clusterID, in, cluster, placement, deleted)
	case orphan && reported == placement && mayAdopt && in.State == wire.StateRunning:
		// Its cluster has joined again and runs it still.
		return true, r.adopt(ctx, tx, clusterID, in, cluster, placement, deleted)
	case cluster != clusterID && in.State != wire.StateUndeployed:
		// It was given to another cluster since: this copy has to stop, once it has been replaced.
		return true, outdated(ctx, tx, clusterID, in)
	case cluster != clusterID, reported != placement, int64(in.Generation.Move) < move:
		return true, nil
	case int64(in.Generation.Move) == move && !lifecycle.Possible(state, in.State):
		r.log.Warn("cluster tells of an instance what cannot be; it is not believed", "cluster", clusterID, "instance", in.InstanceKey.String(),
			"from", state, "to", in.State)
		return true, nil
	}
	return true, storeInstance(ctx, tx, in)
}

// acknowledge removes the tombstone that an UNDEPLOYED answers, if there is one.
func (r *Root) acknowledge(ctx context.Context, tx pgx.Tx, clusterID string, in *wire.InstanceReport) (bool, error) {
	tag, err := tx.Exec(ctx, `DELETE FROM tombstone WHERE cluster_id = $1 AND service_id = $2 AND number = $3 AND placement <= $4`,
		clusterID, in.ServiceID, in.Number, int64(in.Generation.Placement))
	if err != nil {
		return false, fmt.Errorf("acknowledge tombstone of instance %s: %w", in.InstanceKey, err)
	}
	if tag.RowsAffected() == 0 {
		return false, nil
	}
	return true, r.reapInstance(ctx, tx, in.InstanceKey)
}

// adopt takes over the generation of an instance that a cluster has and this database, being older, does not know of.
func (r *Root) adopt(ctx context.Context, tx pgx.Tx, clusterID string, in *wire.InstanceReport, cluster string, placement int64, deleted bool) error {
	r.log.Warn("cluster has a placement of an instance that root has given to nobody else: taking it over", "cluster", clusterID,
		"instance", in.InstanceKey.String(), "placement", in.Generation.Placement, "known", placement)
	if cluster != "" && cluster != clusterID {
		if err := bury(ctx, tx, cluster, in.InstanceKey, placement); err != nil {
			return err
		}
	}
	if deleted {
		return ensureBuried(ctx, tx, clusterID, in.InstanceKey, int64(in.Generation.Placement))
	}
	revision, err := raiseRevision(ctx, tx, clusterID)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE instance SET cluster_id = $3, placement = $4, revision = $5, placed_at = now(), move = 0
		WHERE service_id = $1 AND number = $2`, in.ServiceID, in.Number, clusterID, int64(in.Generation.Placement), revision)
	if err != nil {
		return fmt.Errorf("adopt instance %s: %w", in.InstanceKey, err)
	}
	return storeInstance(ctx, tx, in)
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

func storeInstance(ctx context.Context, tx pgx.Tx, in *wire.InstanceReport) error {
	since := any(in.Since)
	if in.Since.IsZero() {
		since = nil
	}
	// Once a worker has it, later attempts to place it start from the shortest delay again.
	_, err := tx.Exec(ctx, `UPDATE instance SET state = $3, detail = $4, since = coalesce($5, now()), move = $6, cpu_percent = $7,
		memory_bytes = $8, restarts = $9, ready = $11, reported_at = now(), attempts = CASE WHEN $3 = ANY($10) THEN attempts ELSE 0 END,
		refusals = CASE WHEN $3 IN ('RUNNING', 'COMPLETED') THEN '{}' ELSE refusals END, cluster_explanation = coalesce($12, cluster_explanation)
		WHERE service_id = $1 AND number = $2`,
		in.ServiceID, in.Number, in.State, in.Detail, since, int64(in.Generation.Move), in.CPUPercent, in.MemoryBytes, in.Restarts,
		append(givenBack(), wire.StateClusterScheduled), in.Ready, in.Scheduling)
	if err != nil {
		return fmt.Errorf("store state of instance %s: %w", in.InstanceKey, err)
	}
	return nil
}
