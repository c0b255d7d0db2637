// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/addresses"
)

// deleteCluster forgets a cluster. Its certificate opens nothing from then on. One that still has instances is refused unless
// ?force=true says that it will never come back: then they go to other clusters, and what it was to confirm is taken as done.
// Should it be alive all the same, its copies are fenced by their lower placement.
func (r *Root) deleteCluster(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	err := r.placing(ctx, func(tx pgx.Tx) error {
		var instances, graves int
		err := tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM instance WHERE cluster_id = $1 AND deleted_at IS NULL),
			(SELECT count(*) FROM tombstone WHERE cluster_id = $1)`, id).Scan(&instances, &graves)
		if err != nil {
			return fmt.Errorf("look up instances of cluster %s: %w", id, err)
		}
		if instances+graves > 0 {
			if c.QueryParam("force") != "true" {
				return conflict("cluster_in_use", "the cluster has %d instances, and has yet to confirm the end of %d: undeploy them first, "+
					"or add ?force=true if it will never come back", instances, graves)
			}
			if err := r.abandon(ctx, tx, id); err != nil {
				return err
			}
		}
		if err := addresses.ReleaseBlocks(ctx, tx, id); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `DELETE FROM cluster WHERE id = $1`, id)
		if err != nil {
			return fmt.Errorf("delete cluster %s: %w", id, err)
		}
		if tag.RowsAffected() == 0 {
			return notFound("cluster", id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.wakeRetry()
	return c.JSON(http.StatusOK, message("cluster deleted"))
}

// abandon takes all instances away from a cluster without its consent.
func (r *Root) abandon(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, `UPDATE instance SET cluster_id = NULL, state = $2, detail = 'its cluster was removed', since = now(),
		next_attempt = now(), attempts = 0, leaving = false WHERE cluster_id = $1`, id, wire.StateRequested)
	if err != nil {
		return fmt.Errorf("take instances away from cluster %s: %w", id, err)
	}
	rows, err := tx.Query(ctx, `DELETE FROM tombstone WHERE cluster_id = $1 RETURNING service_id, number`, id)
	if err != nil {
		return fmt.Errorf("drop tombstones of cluster %s: %w", id, err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowToStructByPos[wire.InstanceKey])
	if err != nil {
		return fmt.Errorf("drop tombstones of cluster %s: %w", id, err)
	}
	return r.reapInstances(ctx, tx, keys)
}
