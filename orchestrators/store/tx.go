// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	txTimeout  = 15 * time.Second
	txAttempts = 6
)

// InTx runs f in a transaction, commits it if f returns nil, and rolls it back otherwise. A serialization failure or a
// deadlock is tried again, six times in all, with back-off; so f must not have effects outside the transaction. The whole
// takes at most 15 s. The error of f is returned as it is.
func InTx(ctx context.Context, pool *pgxpool.Pool, f func(pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, txTimeout)
	defer cancel()
	var err error
	for attempt := range txAttempts {
		if attempt > 0 {
			if sleep(ctx, backoff(attempt-1)/4) != nil {
				return err
			}
		}
		if err = once(ctx, pool, f); err == nil || !isConflict(err) {
			return err
		}
	}
	return fmt.Errorf("give up after %d conflicting attempts: %w", txAttempts, err)
}

func once(ctx context.Context, pool *pgxpool.Pool, f func(pgx.Tx) error) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	// After a commit this is a no-op; after a cancelled ctx it closes the connection.
	defer func() { _ = tx.Rollback(ctx) }()
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}

func isConflict(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	return pg.Code == codeSerializationFailure || pg.Code == codeDeadlock
}

// IsUniqueViolation reports whether err says that the named unique constraint or index refused a row; an empty name
// stands for any.
func IsUniqueViolation(err error, constraint string) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != codeUniqueViolation {
		return false
	}
	return constraint == "" || pg.ConstraintName == constraint
}
