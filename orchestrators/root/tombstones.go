// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
)

// raiseRevision raises the revision of a cluster's desired state, which locks its row until the transaction ends, and hints
// to whoever waits for it.
func raiseRevision(ctx context.Context, tx pgx.Tx, clusterID string) (revision int64, err error) {
	err = tx.QueryRow(ctx, `UPDATE cluster SET revision = revision + 1 WHERE id = $1 RETURNING revision`, clusterID).Scan(&revision)
	if err != nil {
		return 0, fmt.Errorf("raise revision of cluster %s: %w", clusterID, err)
	}
	if _, err := tx.Exec(ctx, `SELECT pg_notify($1, $2)`, desiredChannel, clusterID); err != nil {
		return 0, fmt.Errorf("hint at desired state of cluster %s: %w", clusterID, err)
	}
	return revision, nil
}

// grave is what a cluster has to stop: a placement of an instance, and all lower ones.
type grave struct {
	wire.InstanceKey
	cluster   string
	placement int64
}

// bury leaves a tombstone for the instance's placement and all lower ones with a cluster.
func bury(ctx context.Context, tx pgx.Tx, clusterID string, key wire.InstanceKey, placement int64) error {
	return buryAll(ctx, tx, []grave{{key, clusterID, placement}})
}

// buryAll leaves tombstones, of which no two are of one instance with one cluster.
func buryAll(ctx context.Context, tx pgx.Tx, list []grave) error {
	if len(list) == 0 {
		return nil
	}
	raised := map[string]int64{}
	clusters, services, numbers := make([]string, len(list)), make([]string, len(list)), make([]int, len(list))
	placements, revisions := make([]int64, len(list)), make([]int64, len(list))
	for n, g := range list {
		if _, ok := raised[g.cluster]; !ok {
			revision, err := raiseRevision(ctx, tx, g.cluster)
			if err != nil {
				return err
			}
			raised[g.cluster] = revision
		}
		clusters[n], services[n], numbers[n], placements[n], revisions[n] = g.cluster, g.ServiceID, g.Number, g.placement, raised[g.cluster]
	}
	_, err := tx.Exec(ctx, `INSERT INTO tombstone (cluster_id, service_id, number, placement, revision)
		SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[])
		ON CONFLICT (cluster_id, service_id, number) DO UPDATE
		SET placement = greatest(tombstone.placement, excluded.placement), revision = excluded.revision`,
		clusters, services, numbers, placements, revisions)
	if err != nil {
		return fmt.Errorf("leave %d tombstones, the first of instance %s with cluster %s: %w", len(list), list[0].InstanceKey, list[0].cluster, err)
	}
	return nil
}

// columns returns the parts of instances' keys, for a statement about all of them.
func columns(keys []wire.InstanceKey) (services []string, numbers []int) {
	services, numbers = make([]string, len(keys)), make([]int, len(keys))
	for n, key := range keys {
		services[n], numbers[n] = key.ServiceID, key.Number
	}
	return services, numbers
}

// reapInstances removes the rows of those instances that are to stop and of which no cluster has a tombstone any more, and with them what was
// only waiting for that.
func (r *Root) reapInstances(ctx context.Context, tx pgx.Tx, keys []wire.InstanceKey) error {
	if len(keys) == 0 {
		return nil
	}
	services, numbers := columns(keys)
	rows, err := tx.Query(ctx, `DELETE FROM instance i USING unnest($1::text[], $2::int[]) AS k (service, number)
		WHERE i.service_id = k.service AND i.number = k.number AND i.deleted_at IS NOT NULL
		AND NOT EXISTS (SELECT FROM tombstone t WHERE t.service_id = i.service_id AND t.number = i.number) RETURNING i.service_id, i.number`,
		services, numbers)
	if err != nil {
		return fmt.Errorf("remove %d instances: %w", len(keys), err)
	}
	gone, err := pgx.CollectRows(rows, pgx.RowToStructByPos[wire.InstanceKey])
	if err != nil {
		return fmt.Errorf("remove %d instances: %w", len(keys), err)
	}
	if err := addresses.ReleaseInstances(ctx, tx, gone); err != nil {
		return err
	}
	if len(gone) > 0 {
		if err := noteEnds(ctx, tx, gone); err != nil {
			return err
		}
	}
	services, _ = columns(gone)
	slices.Sort(services)
	for _, id := range slices.Compact(services) {
		if err := r.reapService(ctx, tx, id); err != nil {
			return err
		}
	}
	return nil
}

// reapService removes the row of a deleted service once its last instance is gone.
func (r *Root) reapService(ctx context.Context, tx pgx.Tx, id string) error {
	var app string
	err := tx.QueryRow(ctx, `DELETE FROM service s WHERE id = $1 AND deleted_at IS NOT NULL
		AND NOT EXISTS (SELECT FROM instance i WHERE i.service_id = s.id) RETURNING application_id`, id).Scan(&app)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove service %s: %w", id, err)
	}
	if err := addresses.ReleaseService(ctx, tx, id); err != nil {
		return err
	}
	return r.reapApplication(ctx, tx, app)
}

// reapApplication removes the row of a deleted application once its last service is gone.
func (r *Root) reapApplication(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, `DELETE FROM application a WHERE id = $1 AND deleted_at IS NOT NULL
		AND NOT EXISTS (SELECT FROM service s WHERE s.application_id = a.id)`, id)
	if err != nil {
		return fmt.Errorf("remove application %s: %w", id, err)
	}
	return nil
}
