// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// leaderLock is the key of the advisory lock that the one process holds which is active; any number that nothing else in the database uses.
// Like the lock of [Presence] it needs a session of Postgres's own.
const leaderLock = 0x6f616b03

// Times of the lead. A leader shows itself every leaderPing; one that has not for leaderSilent is stopped, or cut off, and is deposed. Whoever
// waits looks every leaderTry, but after trouble with the database lets the former leader come first.
const (
	leaderPing   = 750 * time.Millisecond
	leaderSilent = 3 * time.Second
	leaderTry    = 500 * time.Millisecond
	leaderCourt  = 3 * time.Second
)

// ErrDeposed is returned by [Leadership.Keep] once another process leads.
var ErrDeposed = errors.New("another process has become the active one of this database")

// Leadership is being the one of several processes over a database that is active. It holds a connection.
type Leadership struct {
	pool *pgxpool.Pool
	log  *slog.Logger
	conn *pgx.Conn
}

// Lead returns once this process is the active one of its database: at once if no other is, else when that one has gone, has been silent for
// 3 s or lost its place with the database. standby is called once if another one is active. The epoch has to be raised then: that is what
// fences a former leader that does not know yet.
func Lead(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger, standby func()) (*Leadership, error) {
	l := &Leadership{pool: pool, log: log}
	for told := false; ; {
		won, err := l.try(ctx)
		if won {
			return l, nil
		}
		wait := leaderTry
		switch {
		case ctx.Err() != nil:
			l.drop(ctx)
			return nil, ctx.Err()
		case err != nil:
			l.drop(ctx)
			log.Warn("could not look whether another process is active; trying again", "error", err)
			wait = leaderCourt
		case !told:
			told = true
			standby()
		}
		if err := sleep(ctx, wait); err != nil {
			l.drop(ctx)
			return nil, err
		}
	}
}

// try takes the lock if it is free, and ends the session of a holder that has not shown itself of late.
func (l *Leadership) try(ctx context.Context) (won bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if l.conn == nil {
		conn, err := l.pool.Acquire(ctx)
		if err != nil {
			return false, fmt.Errorf("connect to the database: %w", err)
		}
		l.conn = conn.Hijack()
	}
	if err := l.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, leaderLock).Scan(&won); err != nil {
		return false, fmt.Errorf("ask for the lead: %w", err)
	}
	if won {
		return true, nil
	}
	_, err = l.conn.Exec(ctx, `SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objid::bigint = $1 AND l.objsubid = 1
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND greatest(a.state_change, a.query_start) < clock_timestamp() - $2::interval`, int64(leaderLock), leaderSilent)
	if err != nil {
		return false, fmt.Errorf("look after the active process: %w", err)
	}
	return false, nil
}

// Keep shows that this process is active until ctx ends, which is not an error, or another one is, which is [ErrDeposed]. It outlives any
// absence of the database.
func (l *Leadership) Keep(ctx context.Context) error {
	defer l.drop(ctx)
	for {
		if err := l.show(ctx); errors.Is(err, ErrDeposed) {
			return err
		} else if err != nil && ctx.Err() == nil {
			l.log.Debug("could not show that this process is the active one; trying again", "error", err)
			l.drop(ctx)
		}
		if sleep(ctx, leaderPing) != nil {
			return nil
		}
	}
}

func (l *Leadership) show(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if l.conn != nil {
		return l.conn.Ping(ctx)
	}
	won, err := l.try(ctx)
	if err == nil && !won {
		return ErrDeposed
	}
	return err
}

func (l *Leadership) drop(ctx context.Context) {
	if l.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = l.conn.Exec(ctx, `SELECT pg_advisory_unlock_all()`) // so that who waits finds it free at once
	_ = l.conn.Close(ctx)
	l.conn = nil
}
