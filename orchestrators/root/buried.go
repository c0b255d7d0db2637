// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// Of an instance that has ended it is remembered for buriedFor that it has: a cluster that was restored from a dump may start it again.
// No more than buriedBatch older ones are forgotten at a time.
const (
	buriedFor   = "7 days"
	buriedBatch = 1000
)

// noteEnds remembers that instances have ended everywhere.
func noteEnds(ctx context.Context, tx pgx.Tx, keys []wire.InstanceKey) error {
	services, numbers := columns(keys)
	_, err := tx.Exec(ctx, `INSERT INTO buried (service_id, number) SELECT * FROM unnest($1::text[], $2::int[])
		ON CONFLICT (service_id, number) DO UPDATE SET at = now()`, services, numbers)
	if err != nil {
		return fmt.Errorf("remember the end of %d instances: %w", len(keys), err)
	}
	_, err = tx.Exec(ctx, `DELETE FROM buried WHERE (service_id, number) IN (SELECT service_id, number FROM buried
		WHERE at < now() - $1::interval ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)`, buriedFor, buriedBatch)
	if err != nil {
		return fmt.Errorf("forget instances that have ended long ago: %w", err)
	}
	return nil
}

// hasEnded reports whether an instance that has no row has ended everywhere, as far as is remembered. Numbers are not used again.
func hasEnded(ctx context.Context, tx pgx.Tx, key wire.InstanceKey) (ended bool, err error) {
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM buried WHERE service_id = $1 AND number = $2)`, key.ServiceID, key.Number).Scan(&ended)
	if err != nil {
		return false, fmt.Errorf("look whether instance %s has ended: %w", key, err)
	}
	return ended, nil
}
