// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

const (
	// ResetTTL is for how long a new password can be set after it was asked for.
	ResetTTL = 3 * time.Hour
	// resetSpacing is the least time between two mails to one account: nobody is to be flooded by others.
	resetSpacing = time.Minute
	// maxResets bounds the accounts of one name, in all organisations, that one request is about.
	maxResets = 10
)

// ErrReset refuses a secret that sets no password.
var ErrReset = errors.New("the link is invalid, was used already or is older than 3 hours: ask for a new one")

// Reset is an account whose password can be set by who knows the secret.
type Reset struct {
	Account
	Secret string
}

// BeginReset lets the passwords of the accounts of this name that have a mail address be set by a secret each, which is to go there and
// replaces an earlier one. An empty organisation stands for all. An account for which that was asked within the last minute is left out.
func (s *Store) BeginReset(ctx context.Context, organization, name string) ([]Reset, error) {
	var list []Reset
	err := store.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		list = nil
		rows, err := tx.Query(ctx, `SELECT a.id, a.name, o.id, o.name, a.email FROM account a JOIN organization o ON o.id = a.organization_id
			WHERE lower(a.name) = lower($1) AND $2 IN ('', lower(o.name)) AND a.email <> ''
			AND NOT EXISTS (SELECT FROM password_reset r WHERE r.account_id = a.id AND r.created_at > now() - $3::interval)
			ORDER BY a.id LIMIT $4 FOR UPDATE OF a`, name, organization, resetSpacing, maxResets)
		if err != nil {
			return err
		}
		var a Account
		_, err = pgx.ForEachRow(rows, []any{&a.ID, &a.Name, &a.OrganizationID, &a.Organization, &a.Email}, func() error {
			list = append(list, Reset{Account: a, Secret: pki.NewSecret()})
			return nil
		})
		if err != nil {
			return err
		}
		for _, r := range list {
			_, err := tx.Exec(ctx, `INSERT INTO password_reset (account_id, secret_hash, expires_at) VALUES ($1, $2, now() + $3)
				ON CONFLICT (account_id) DO UPDATE SET secret_hash = excluded.secret_hash, created_at = now(), expires_at = excluded.expires_at`,
				r.ID, secretHash(r.Secret), ResetTTL)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("let the password of %s be set: %w", name, err)
	}
	return list, nil
}

// FinishReset sets a new password by a secret, once, and ends all logins of the account. It fails with [ErrReset] or [ErrWeak].
func (s *Store) FinishReset(ctx context.Context, secret, password string) error {
	if len(password) < MinPassword || len(password) > MaxPassword {
		return ErrWeak
	}
	var known bool
	err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM password_reset WHERE secret_hash = $1 AND expires_at > now())`, secretHash(secret)).Scan(&known)
	if err != nil {
		return fmt.Errorf("look up reset: %w", err)
	}
	if !known {
		return ErrReset // before the work of hashing, which strangers are not to cause
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return fmt.Errorf("hash password: %w", err)
	}
	return store.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var account string
		err := tx.QueryRow(ctx, `DELETE FROM password_reset WHERE secret_hash = $1 AND expires_at > now() RETURNING account_id`, secretHash(secret)).Scan(&account)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrReset
		}
		if err != nil {
			return fmt.Errorf("use up reset: %w", err)
		}
		if _, err := tx.Exec(ctx, `UPDATE account SET password = $2 WHERE id = $1`, account, hash); err != nil {
			return fmt.Errorf("store password: %w", err)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM session WHERE account_id = $1`, account); err != nil {
			return fmt.Errorf("end logins: %w", err)
		}
		return nil
	})
}

// secretHash needs no salt and no slowness: a secret is 256 random bits.
func secretHash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}
