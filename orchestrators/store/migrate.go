// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed base/*.sql
var baseFiles embed.FS

// Names of the tables in which goose keeps what it has applied.
const (
	baseVersions = "migration_base"
	ownVersions  = "migration"
)

func migrate(ctx context.Context, pool *pgxpool.Pool, own fs.FS) error {
	base, err := fs.Sub(baseFiles, "base")
	if err != nil {
		return fmt.Errorf("read embedded migrations: %w", err)
	}
	if err := apply(ctx, pool, base, baseVersions); err != nil {
		return err
	}
	if own == nil {
		return nil
	}
	return apply(ctx, pool, own, ownVersions)
}

func apply(ctx context.Context, pool *pgxpool.Pool, files fs.FS, table string) error {
	// The lock is tried every second, 30 times: another orchestrator process may be migrating.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 30))
	if err != nil {
		return fmt.Errorf("create migration lock: %w", err)
	}
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithTableName(table), goose.WithDisableGlobalRegistry(true))
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return nil
}
