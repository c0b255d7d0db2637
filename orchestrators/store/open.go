// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Bounds of every connection. A statement that runs longer than 15 s is a fault: the longest of ours take milliseconds.
const (
	openTimeout    = 30 * time.Second
	connectTimeout = 3 * time.Second
	maxConns       = 16
)

// Open connects to the Postgres at url, waiting with back-off for up to 30 s while it is unavailable, applies the base
// migrations and then the given ones (*.sql in the root of migrations, in goose's format; may be nil) under an advisory
// lock. The pool reconnects by itself when Postgres comes back after an absence.
func Open(ctx context.Context, url string, migrations fs.FS, log *slog.Logger) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read database URL (--database): %w", err)
	}
	cfg.MaxConns = maxConns
	cfg.MinIdleConns = 2
	cfg.PingTimeout = connectTimeout
	cfg.HealthCheckPeriod = 2 * time.Second
	cfg.ConnConfig.ConnectTimeout = connectTimeout
	setDefault(cfg.ConnConfig.RuntimeParams, "statement_timeout", "15s")
	setDefault(cfg.ConnConfig.RuntimeParams, "jit", "off") // compiling takes longer than any of our statements
	setDefault(cfg.ConnConfig.RuntimeParams, "lock_timeout", "10s")
	setDefault(cfg.ConnConfig.RuntimeParams, "idle_in_transaction_session_timeout", "30s")

	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("create database pool: %w", err)
	}
	if err := prepare(ctx, pool, migrations, log); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

func setDefault(params map[string]string, key, value string) {
	if _, ok := params[key]; !ok {
		params[key] = value
	}
}

// prepare waits for Postgres and migrates, starting over while Postgres is away.
func prepare(ctx context.Context, pool *pgxpool.Pool, migrations fs.FS, log *slog.Logger) error {
	for attempt := 0; ; attempt++ {
		err := pool.Ping(ctx)
		if err == nil {
			err = migrate(ctx, pool, migrations)
		}
		if err == nil {
			return nil
		}
		if !IsUnavailable(err) || sleep(ctx, backoff(attempt)) != nil {
			return fmt.Errorf("open database: %w", err)
		}
		log.Warn("database is unavailable, trying again", "error", err)
	}
}

// backoff returns a delay that doubles from 50 ms to 2 s, with ±25 % of jitter.
func backoff(attempt int) time.Duration {
	d := min(50*time.Millisecond<<min(attempt, 6), 2*time.Second)
	return d*3/4 + rand.N(d/2)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
