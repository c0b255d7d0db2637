// SPDX-License-Identifier: Apache-2.0

package root

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/oakestra/oakestra-ebpf/orchestrators/root/vault"
)

const (
	// rekeyTimeout bounds a change of the key of all secrets, rekeyBatch how many are in memory at a time: a value may have 64 KiB.
	rekeyTimeout = 10 * time.Minute
	rekeyBatch   = 200
)

// rekeyLock is the key of the advisory lock of [Rekey]; any number that nothing else in the database uses.
const rekeyLock = 0x6f616b05

// ErrRekeying is returned by [Rekey] while another one is under way.
var ErrRekeying = errors.New("the key of secrets is being changed already")

// Rekey changes the key of secrets. prepare is to keep the new key where every root process finds it, beside the former ones, and returns all of
// them and the new one's id; settle, which may be nil, is called when all is done. No other change is under way meanwhile, so both may write a
// file. Every version of every secret is sealed anew in one transaction, and their number returned: whatever happens, all are sealed with the one
// key or all with the other. Root processes serve meanwhile, and open both; who stores a secret waits until it is done.
func Rekey(ctx context.Context, pool *pgxpool.Pool, prepare func() (v *vault.Vault, id string, err error), settle func() error) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, rekeyTimeout)
	defer cancel()
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return 0, fmt.Errorf("change the key of secrets: %w", err)
	}
	lock := conn.Hijack() // the lock goes with the connection
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = lock.Exec(ctx, `SELECT pg_advisory_unlock($1)`, rekeyLock) // so that who comes next finds it free at once
		_ = lock.Close(ctx)
	}()
	var alone bool
	if err := lock.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, rekeyLock).Scan(&alone); err != nil {
		return 0, fmt.Errorf("change the key of secrets: %w", err)
	}
	if !alone {
		return 0, ErrRekeying
	}
	v, id, err := prepare()
	if err != nil {
		return 0, err
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		n, err = resealAll(ctx, tx, v, id)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("change the key of secrets; nothing was changed: %w", err)
	}
	if settle == nil {
		return n, nil
	}
	return n, settle()
}

func resealAll(ctx context.Context, tx pgx.Tx, v *vault.Vault, id string) (n int, err error) {
	if _, err := tx.Exec(ctx, `SELECT FROM secret_key FOR UPDATE`); err != nil {
		return 0, fmt.Errorf("keep others from storing secrets: %w", err)
	}
	if _, err := sealingKey(ctx, tx, v); err != nil {
		return 0, err
	}
	secret, version := "", 0
	for {
		list, err := sealedAfter(ctx, tx, secret, version)
		if err != nil {
			return 0, err
		}
		if err := reseal(ctx, tx, v, id, list); err != nil {
			return 0, err
		}
		n += len(list)
		if len(list) < rekeyBatch {
			break
		}
		secret, version = list[len(list)-1].Secret, list[len(list)-1].Version
	}
	if _, err := tx.Exec(ctx, `UPDATE secret_key SET id = $1`, id); err != nil {
		return 0, fmt.Errorf("note key for secrets: %w", err)
	}
	return n, nil
}

// sealedVersion is a version of a secret as it is stored.
type sealedVersion struct {
	Secret  string
	Version int
	Sealed  []byte
}

func sealedAfter(ctx context.Context, tx pgx.Tx, secret string, version int) ([]sealedVersion, error) {
	rows, err := tx.Query(ctx, `SELECT secret_id, version, sealed FROM secret_version WHERE (secret_id, version) > ($1, $2) ORDER BY secret_id, version
		LIMIT $3`, secret, version, rekeyBatch)
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[sealedVersion])
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	return list, nil
}

func reseal(ctx context.Context, tx pgx.Tx, v *vault.Vault, id string, list []sealedVersion) error {
	batch := &pgx.Batch{}
	for _, s := range list {
		sealed, err := v.Reseal(id, s.Sealed, sealedAs(s.Secret, s.Version))
		if err != nil {
			return fmt.Errorf("version %d of secret %s: %w", s.Version, s.Secret, err)
		}
		batch.Queue(`UPDATE secret_version SET sealed = $3 WHERE secret_id = $1 AND version = $2`, s.Secret, s.Version, sealed)
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("store secrets: %w", err)
	}
	return nil
}
