// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/wire"
)

// ErrNoSubnet is returned when no leased worker subnet is free.
var ErrNoSubnet = errors.New("no worker subnet is free")

// Worker is a worker that has joined.
type Worker struct {
	ID, Name string
	Subnets  []netip.Prefix
	// Order is what it is to be used for.
	Order wire.WorkerOrder
}

// Workers returns all workers with their subnets, v4 before v6.
func Workers(ctx context.Context, q Querier) ([]Worker, error) {
	rows, err := q.Query(ctx, `SELECT w.id, w.name, w.mode, w.mode_reason, w.order_epoch, w.order_revision, s.v4, s.v6 FROM worker w LEFT JOIN subnet s ON s.worker_id = w.id ORDER BY w.id, s.v4`)
	if err != nil {
		return nil, fmt.Errorf("read workers: %w", err)
	}
	var all []Worker
	var id, name, mode, reason string
	var epoch, revision int64
	var v4, v6 *netip.Prefix
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &mode, &reason, &epoch, &revision, &v4, &v6}, func() error {
		if len(all) == 0 || all[len(all)-1].ID != id {
			all = append(all, Worker{ID: id, Name: name, Order: wire.WorkerOrder{WorkerID: id, Mode: wire.WorkerMode(mode),
				Reason: reason, Stamp: wire.Stamp{Epoch: uint64(epoch), Revision: uint64(revision)}}})
		}
		if v4 != nil && v6 != nil {
			w := &all[len(all)-1]
			w.Subnets = append(w.Subnets, *v4, *v6)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read workers: %w", err)
	}
	return all, nil
}

// WorkerByKey returns the worker that joined with the key, if there is one.
func WorkerByKey(ctx context.Context, tx pgx.Tx, keyHash []byte) (id string, ok bool, err error) {
	err = tx.QueryRow(ctx, `SELECT id FROM worker WHERE key_hash = $1`, keyHash).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("look worker up: %w", err)
	}
	return id, true, nil
}

// AddWorker stores a worker and gives it the first free subnet, or returns [ErrNoSubnet].
func AddWorker(ctx context.Context, tx pgx.Tx, id, name string, keyHash []byte) (Worker, error) {
	w := Worker{ID: id, Name: name}
	if _, err := tx.Exec(ctx, `INSERT INTO worker (id, name, key_hash) VALUES ($1, $2, $3)`, id, name, keyHash); err != nil {
		return w, fmt.Errorf("store worker: %w", err)
	}
	var v4, v6 netip.Prefix
	err := tx.QueryRow(ctx, `UPDATE subnet SET worker_id = $1 WHERE v4 =
		(SELECT v4 FROM subnet WHERE worker_id IS NULL ORDER BY v4 LIMIT 1 FOR UPDATE) RETURNING v4, v6`, id).Scan(&v4, &v6)
	if errors.Is(err, pgx.ErrNoRows) {
		return w, ErrNoSubnet
	}
	if err != nil {
		return w, fmt.Errorf("lease subnet to worker: %w", err)
	}
	w.Subnets = []netip.Prefix{v4, v6}
	return w, nil
}

// RenameWorker stores the name that a worker gives when it joins again.
func RenameWorker(ctx context.Context, tx pgx.Tx, id, name string) error {
	if _, err := tx.Exec(ctx, `UPDATE worker SET name = $2 WHERE id = $1`, id, name); err != nil {
		return fmt.Errorf("rename worker: %w", err)
	}
	return nil
}

// LeasedAmong returns those prefixes that are leased subnets.
func LeasedAmong(ctx context.Context, q Querier, prefixes []netip.Prefix) ([]netip.Prefix, error) {
	if len(prefixes) == 0 {
		return nil, nil
	}
	rows, err := q.Query(ctx, `SELECT v4 FROM subnet WHERE v4 = ANY($1::cidr[]) UNION ALL SELECT v6 FROM subnet WHERE v6 = ANY($1::cidr[])`, prefixes)
	if err != nil {
		return nil, fmt.Errorf("read leased subnets: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[netip.Prefix])
	if err != nil {
		return nil, fmt.Errorf("read leased subnets: %w", err)
	}
	return all, nil
}

// FreeSubnets counts the leased worker subnets that no worker has.
func FreeSubnets(ctx context.Context, q Querier) (n int, err error) {
	if err := q.QueryRow(ctx, `SELECT count(*) FROM subnet WHERE worker_id IS NULL`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count free subnets: %w", err)
	}
	return n, nil
}
