// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"fmt"

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

// bury leaves a tombstone for the instance's placement and all lower ones with a cluster.
func bury(ctx context.Context, tx pgx.Tx, clusterID string, key wire.InstanceKey, placement int64) error {
	revision, err := raiseRevision(ctx, tx, clusterID)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO tombstone (cluster_id, service_id, number, placement, revision) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (cluster_id, service_id, number) DO UPDATE
		SET placement = greatest(tombstone.placement, excluded.placement), revision = excluded.revision`,
		clusterID, key.ServiceID, key.Number, placement, revision)
	if err != nil {
		return fmt.Errorf("leave tombstone of instance %s with cluster %s: %w", key, clusterID, err)
	}
	return nil
}

// reapInstance removes the row of an instance that is to stop once no cluster has a tombstone of it, and with it what was
// only waiting for that.
func (r *Root) reapInstance(ctx context.Context, tx pgx.Tx, key wire.InstanceKey) error {
	tag, err := tx.Exec(ctx, `DELETE FROM instance i WHERE service_id = $1 AND number = $2 AND deleted_at IS NOT NULL
		AND NOT EXISTS (SELECT FROM tombstone t WHERE t.service_id = i.service_id AND t.number = i.number)`, key.ServiceID, key.Number)
	if err != nil {
		return fmt.Errorf("remove instance %s: %w", key, err)
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	if err := addresses.ReleaseInstance(ctx, tx, key); err != nil {
		return err
	}
	return r.reapService(ctx, tx, key.ServiceID)
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
