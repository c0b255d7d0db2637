// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// Change is what becomes of an account; nil leaves something as it is.
type Change struct {
	Name     *string
	Email    *string
	Roles    *[]string // in the account's own organisation
	Password *string   // ends all logins
	// Expect, if not nil, is asked first, with what the account is until then; its error is returned.
	Expect func(Account) error
}

// Update changes the account with this id. It fails with [ErrNotFound], [ErrExists], [ErrWeak] or [ErrLastAdmin], and changes nothing
// then.
func (s *Store) Update(ctx context.Context, id string, c Change) (Account, error) {
	var hash *string
	if c.Password != nil {
		if len(*c.Password) < MinPassword || len(*c.Password) > MaxPassword {
			return Account{}, ErrWeak
		}
		h, err := s.hasher.hash(ctx, *c.Password)
		if err != nil {
			return Account{}, fmt.Errorf("hash password: %w", err)
		}
		hash = &h
	}
	var a Account
	err := store.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if c.Expect != nil {
			if _, err := tx.Exec(ctx, `SELECT FROM account WHERE id = $1 FOR UPDATE`, id); err != nil {
				return err
			}
			old, err := find(ctx, tx, "", id)
			if err == nil {
				err = c.Expect(old)
			}
			if err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `UPDATE account SET name = coalesce($2, name), email = coalesce($3, email), password = coalesce($4, password)
			WHERE id = $1`, id, c.Name, c.Email, hash)
		if err != nil {
			return err
		}
		if c.Roles != nil {
			_, err := tx.Exec(ctx, `UPDATE membership m SET roles = $2 FROM account a
				WHERE a.id = $1 AND m.account_id = a.id AND m.organization_id = a.organization_id`, id, *c.Roles)
			if err != nil {
				return err
			}
			if err := someAdmin(ctx, tx); err != nil {
				return err
			}
		}
		if hash != nil {
			if _, err := tx.Exec(ctx, `DELETE FROM session WHERE account_id = $1`, id); err != nil {
				return err
			}
		}
		a, err = find(ctx, tx, "", id)
		return err
	})
	if store.IsUniqueViolation(err, "account_name") {
		return Account{}, ErrExists
	}
	if err != nil {
		return Account{}, fmt.Errorf("change user %s: %w", id, err)
	}
	return a, nil
}

// someAdmin fails with [ErrLastAdmin] if what tx has done leaves nobody who may do everything. Who does such things waits for others who do.
func someAdmin(ctx context.Context, tx pgx.Tx) error {
	var left bool
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('someAdmin'))`); err != nil {
		return fmt.Errorf("wait for other changes of administrators: %w", err)
	}
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM membership WHERE $1 = ANY(roles))`, RoleAdmin).Scan(&left); err != nil {
		return fmt.Errorf("look for an administrator: %w", err)
	}
	if !left {
		return ErrLastAdmin
	}
	return nil
}
