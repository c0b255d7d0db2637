// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// maxAhead is how far a seen epoch may lie in the future. Epochs are milliseconds of the clock at the time they were
// raised, so a higher one is from a broken clock or a liar, and taking it over would let nobody ever be newer.
const maxAhead = 24 * time.Hour

// ErrEpochAhead is wrapped by the error that refuses an epoch of the far future.
var ErrEpochAhead = errors.New("more than a day ahead of this clock; check the clocks of both tiers")

const raise = `UPDATE epoch SET value = greatest(value + 1, $1, $2) RETURNING value`

// RaiseEpoch raises the database's epoch and returns it; every orchestrator does so at its start. It becomes at least the
// present time in milliseconds since 1970, so that a database restored from a backup overrules what was published from
// the lost one.
func RaiseEpoch(ctx context.Context, pool *pgxpool.Pool) (uint64, error) {
	return raiseTo(ctx, pool, 0)
}

// RaiseEpochAbove raises the epoch above one that was seen from below, unless it is so already, and returns it. An epoch
// more than a day ahead of the clock is refused with an error that wraps [ErrEpochAhead].
func RaiseEpochAbove(ctx context.Context, pool *pgxpool.Pool, seen uint64) (uint64, error) {
	if limit := uint64(time.Now().Add(maxAhead).UnixMilli()); seen > limit {
		return 0, fmt.Errorf("raise epoch above %d: %w", seen, ErrEpochAhead)
	}
	return raiseTo(ctx, pool, seen+1)
}

func raiseTo(ctx context.Context, pool *pgxpool.Pool, least uint64) (uint64, error) {
	var value int64
	err := InTx(ctx, pool, func(tx pgx.Tx) error {
		now := time.Now().UnixMilli()
		return tx.QueryRow(ctx, raise, now, int64(least)).Scan(&value)
	})
	if err != nil {
		return 0, fmt.Errorf("raise epoch: %w", err)
	}
	return uint64(value), nil
}

// Querier is what both a pool and a transaction offer for reading one row.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Epoch returns the epoch, to be read in the transaction that it stamps.
func Epoch(ctx context.Context, tx Querier) (uint64, error) {
	var value int64
	if err := tx.QueryRow(ctx, `SELECT value FROM epoch`).Scan(&value); err != nil {
		return 0, fmt.Errorf("read epoch: %w", err)
	}
	return uint64(value), nil
}
