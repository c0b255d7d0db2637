// SPDX-License-Identifier: Apache-2.0

package addresses

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Forgotten counts the instances that have addresses although their service is in no row, as after a restore of an older database.
func Forgotten(ctx context.Context, tx pgx.Tx) (n int, err error) {
	err = tx.QueryRow(ctx, `SELECT count(DISTINCT (a.service_id, a.number)) FROM address a WHERE a.released_at IS NULL AND a.number IS NOT NULL
		AND NOT EXISTS (SELECT FROM service s WHERE s.id = a.service_id)`).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count addresses of forgotten instances: %w", err)
	}
	return n, nil
}

// ReleaseForgotten puts the addresses of such an instance into quarantine, and those of its service with the last one.
func ReleaseForgotten(ctx context.Context, tx pgx.Tx, key wire.InstanceKey) error {
	if err := ReleaseInstance(ctx, tx, key); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE address a SET released_at = now() WHERE a.service_id = $1 AND a.number IS NULL AND a.released_at IS NULL
		AND NOT EXISTS (SELECT FROM service s WHERE s.id = $1)
		AND NOT EXISTS (SELECT FROM address o WHERE o.service_id = $1 AND o.number IS NOT NULL AND o.released_at IS NULL)`, key.ServiceID)
	if err != nil {
		return fmt.Errorf("release addresses of service %s: %w", key.ServiceID, err)
	}
	return nil
}
