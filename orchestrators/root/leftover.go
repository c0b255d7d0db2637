// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// replaced are the states of an instance in which an older copy of it, with a cluster that was lost, is needed no more.
func replaced() []wire.State {
	return []wire.State{wire.StateRunning, wire.StateCompleted, wire.StateDead}
}

// leave notes that a cluster may run a copy of an instance that was given to another, and that it may go on until the replacement runs.
func leave(ctx context.Context, tx pgx.Tx, clusterID string, key wire.InstanceKey, placement int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO leftover (cluster_id, service_id, number, placement) VALUES ($1, $2, $3, $4)
		ON CONFLICT (cluster_id, service_id, number) DO UPDATE SET placement = greatest(leftover.placement, excluded.placement)`,
		clusterID, key.ServiceID, key.Number, placement)
	if err != nil {
		return fmt.Errorf("note what cluster %s may still run of instance %s: %w", clusterID, key, err)
	}
	return nil
}

// handOver ends what a cluster has of an instance that is given to another: at once, or, if it is lost or serves on meanwhile, when it can hear
// of that and the replacement runs.
func handOver(ctx context.Context, tx pgx.Tx, i *instanceRow, goesOn bool) error {
	if goesOn {
		return leave(ctx, tx, i.cluster, i.InstanceKey, i.placement)
	}
	return bury(ctx, tx, i.cluster, i.InstanceKey, i.placement)
}

// outdated decides on a copy that a cluster says to have of an instance that another one has since: as long as it runs and the replacement
// does not, it goes on.
func outdated(ctx context.Context, tx pgx.Tx, clusterID string, in *wire.InstanceReport) error {
	var waits bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM instance WHERE service_id = $1 AND number = $2 AND deleted_at IS NULL AND NOT state = ANY($3))
		AND NOT EXISTS (SELECT FROM tombstone WHERE cluster_id = $4 AND service_id = $1 AND number = $2 AND placement >= $5)`,
		in.ServiceID, in.Number, replaced(), clusterID, int64(in.Generation.Placement)).Scan(&waits)
	if err != nil {
		return fmt.Errorf("look up the replacement of instance %s: %w", in.InstanceKey, err)
	}
	if waits && in.State == wire.StateRunning {
		return leave(ctx, tx, clusterID, in.InstanceKey, int64(in.Generation.Placement))
	}
	return ensureBuried(ctx, tx, clusterID, in.InstanceKey, int64(in.Generation.Placement))
}

// buryReplaced leaves tombstones for what lost clusters may still run of the instances that a cluster has and that now run there.
func buryReplaced(ctx context.Context, tx pgx.Tx, clusterID string) error {
	return buryLeftovers(ctx, tx, `l.service_id = i.service_id AND l.number = i.number AND l.placement < i.placement AND i.cluster_id = $1
		AND i.state = ANY($2)`, clusterID, replaced())
}

// buryDeleted leaves tombstones for what lost clusters may still run of instances of a service that are to stop everywhere.
func buryDeleted(ctx context.Context, tx pgx.Tx, serviceID string) error {
	return buryLeftovers(ctx, tx, `l.service_id = i.service_id AND l.number = i.number AND i.service_id = $1 AND i.deleted_at IS NOT NULL`, serviceID)
}

func buryLeftovers(ctx context.Context, tx pgx.Tx, where string, args ...any) error {
	rows, err := tx.Query(ctx, `DELETE FROM leftover l USING instance i WHERE `+where+` RETURNING l.cluster_id, l.service_id, l.number, l.placement`, args...)
	if err != nil {
		return fmt.Errorf("look up what lost clusters may still run: %w", err)
	}
	var graves []grave
	var one grave
	_, err = pgx.ForEachRow(rows, []any{&one.cluster, &one.ServiceID, &one.Number, &one.placement}, func() error {
		graves = append(graves, one)
		return nil
	})
	if err != nil {
		return fmt.Errorf("look up what lost clusters may still run: %w", err)
	}
	return buryAll(ctx, tx, graves)
}
