// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// presenceLock is the key of the advisory lock that every process which serves a database holds, shared; any number that nothing else in the
// database uses. It needs a session of Postgres's own: a pooler between that lends connections by the transaction breaks it.
const presenceLock = 0x6f616b02

// presencePing is how often it is made sure that the lock is still held.
const presencePing = 5 * time.Second

// Presence is one of any number of processes that serve one database under one epoch. It holds a connection.
type Presence struct {
	pool *pgxpool.Pool
	log  *slog.Logger
	conn *pgx.Conn
}

// Enter joins the processes that serve a database. The first of them raises the epoch, since it does not know what its predecessors have
// published; who comes to others that serve shares theirs, and nothing has to be told again. Every transaction that stamps something reads
// the epoch by itself, so that whoever raises it later does so for all.
func Enter(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) (*Presence, uint64, error) {
	p := &Presence{pool: pool, log: log}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	for attempt := 0; ; attempt++ {
		epoch, err := p.enter(ctx)
		if err == nil {
			return p, epoch, nil
		}
		p.drop(ctx)
		// Of two that start at once one may hold the lock alone for a moment.
		if !IsUnavailable(err) && !IsTimeout(err) || sleep(ctx, backoff(attempt)) != nil {
			return nil, 0, err
		}
	}
}

func (p *Presence) enter(ctx context.Context) (epoch uint64, err error) {
	if err := p.connect(ctx); err != nil {
		return 0, err
	}
	var first bool
	if err := p.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, presenceLock).Scan(&first); err != nil {
		return 0, fmt.Errorf("look for other processes of this database: %w", err)
	}
	if first {
		if epoch, err = RaiseEpoch(ctx, p.pool); err != nil {
			return 0, err
		}
	}
	if err := p.share(ctx); err != nil {
		return 0, err
	}
	if first {
		if _, err := p.conn.Exec(ctx, `SELECT pg_advisory_unlock($1)`, presenceLock); err != nil {
			return 0, fmt.Errorf("let other processes in: %w", err)
		}
		return epoch, nil
	}
	return Epoch(ctx, p.pool)
}

func (p *Presence) connect(ctx context.Context) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	p.conn = conn.Hijack()
	return nil
}

func (p *Presence) share(ctx context.Context) error {
	if _, err := p.conn.Exec(ctx, `SELECT pg_advisory_lock_shared($1)`, presenceLock); err != nil {
		return fmt.Errorf("join the processes of this database: %w", err)
	}
	return nil
}

func (p *Presence) drop(ctx context.Context) {
	if p.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	// Told before the connection is closed, so that who starts next finds the place free at once. All of it may be gone already.
	_, _ = p.conn.Exec(ctx, `SELECT pg_advisory_unlock_all()`)
	_ = p.conn.Close(ctx)
	p.conn = nil
}

// Keep holds the place among the processes until ctx ends, and takes it again after each absence of Postgres. The epoch stays: what a
// restored database has forgotten is found out from what is seen below.
func (p *Presence) Keep(ctx context.Context) {
	defer p.drop(ctx)
	for attempt := 0; ; {
		wait := presencePing
		if err := p.check(ctx); err == nil {
			attempt = 0
		} else {
			if ctx.Err() != nil {
				return
			}
			p.log.Debug("not among the processes of the database; trying again", "error", err)
			p.drop(ctx)
			wait, attempt = backoff(attempt), attempt+1
		}
		if sleep(ctx, wait) != nil {
			return
		}
	}
}

func (p *Presence) check(ctx context.Context) error {
	if p.conn != nil {
		// To its end, however soon ctx ends: who breaks off a question loses the connection, and Postgres keeps the place for a while.
		ping, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
		defer cancel()
		return p.conn.Ping(ping)
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := p.connect(ctx); err != nil {
		return err
	}
	return p.share(ctx)
}
