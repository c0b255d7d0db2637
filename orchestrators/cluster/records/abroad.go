// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// LoadAbroad returns what root has last said of other clusters; nil if it never has.
func LoadAbroad(ctx context.Context, q Querier) (*wire.ClusterAbroad, error) {
	m := &wire.ClusterAbroad{}
	err := q.QueryRow(ctx, `SELECT state FROM abroad`).Scan(m)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is known of other clusters: %w", err)
	}
	return m, nil
}

// StoreAbroad stores the whole of it.
func StoreAbroad(ctx context.Context, tx pgx.Tx, m *wire.ClusterAbroad) error {
	_, err := tx.Exec(ctx, `INSERT INTO abroad (state) VALUES ($1) ON CONFLICT (single) DO UPDATE SET state = excluded.state`, m)
	if err != nil {
		return fmt.Errorf("store what is known of other clusters: %w", err)
	}
	return nil
}
