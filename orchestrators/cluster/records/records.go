// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations returns the migrations of the tables, as package store takes them.
func Migrations() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic("embedded migrations: " + err.Error()) // the path is a constant
	}
	return sub
}

// ErrTakenOver is returned by [CheckEpoch] once another process has taken the database over.
var ErrTakenOver = errors.New("another cluster orchestrator has taken over this database")

// CheckEpoch returns an error that wraps [ErrTakenOver] unless the epoch is still the one that this process raised. Every writing
// transaction calls it: the row stays as it is until the transaction ends.
func CheckEpoch(ctx context.Context, tx pgx.Tx, epoch uint64) error {
	var value int64
	if err := tx.QueryRow(ctx, `SELECT value FROM epoch FOR SHARE`).Scan(&value); err != nil {
		return fmt.Errorf("read epoch: %w", err)
	}
	if uint64(value) != epoch {
		return fmt.Errorf("%w: its epoch is %d, this process has %d", ErrTakenOver, value, epoch)
	}
	return nil
}

// Querier is what a pool and a transaction have in common.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}
