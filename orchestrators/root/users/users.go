// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// The roles of the reference. Admin may do everything in every organisation, Organization_Admin everything in its own; all users may
// deploy applications.
const (
	RoleAdmin                  = "Admin"
	RoleOrganizationAdmin      = "Organization_Admin"
	RoleApplicationProvider    = "Application_Provider"
	RoleInfrastructureProvider = "Infrastructure_Provider"
)

// Roles are all that there are.
func Roles() []string {
	return []string{RoleAdmin, RoleOrganizationAdmin, RoleApplicationProvider, RoleInfrastructureProvider}
}

// Names of the organisation and the account that exist from the start.
const (
	RootOrganization = "root"
	AdminName        = "Admin"
)

// Errors of this package. Their texts are for the user.
var (
	ErrCredentials  = errors.New("wrong user name or password")
	ErrOrganization = errors.New("no such organization")
	ErrToken        = errors.New("token is invalid, expired or revoked: log in again")
	ErrExists       = errors.New("a user of this name exists already in the organization")
	ErrNotFound     = errors.New("no such user")
	ErrAmbiguous    = errors.New("users of several organizations have this name: give the id (GET /api/users)")
	ErrLastAdmin    = errors.New("nobody would be left to administrate: give somebody else the role Admin first")
	ErrWeak         = fmt.Errorf("password must have %d to %d bytes", MinPassword, MaxPassword)
)

// Account is a user, as a member of an organisation: its own, unless said otherwise.
type Account struct {
	ID             string
	Name           string
	OrganizationID string
	Organization   string
	Email          string
	// Roles are those in that organisation.
	Roles []string
}

// Store keeps accounts and logins in Postgres.
type Store struct {
	pool   *pgxpool.Pool
	hasher hasher
	key    []byte
	// decoy is verified when there is no such user, so that the time tells nothing.
	decoy string
}

// Open returns the store, creating the signing key and the organisation root at first use.
func Open(ctx context.Context, pool *pgxpool.Pool) (*Store, error) {
	s := &Store{pool: pool, hasher: make(hasher, maxHashing)}
	var err error
	if s.decoy, err = s.hasher.hash(ctx, RandomPassword()); err != nil {
		return nil, fmt.Errorf("prepare password check: %w", err)
	}
	err = store.InTx(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO signing_key (secret) VALUES ($1) ON CONFLICT DO NOTHING`, newSigningKey())
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO organization (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING`, pki.NewID(), RootOrganization)
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT secret FROM signing_key`).Scan(&s.key)
	})
	if err != nil {
		return nil, fmt.Errorf("open user store: %w", err)
	}
	return s, nil
}

// EnsureAdmin creates the account Admin of the organisation root with the password unless there is one; it reports whether
// it did so. The password of an existing account is left alone.
func (s *Store) EnsureAdmin(ctx context.Context, password string) (created bool, err error) {
	_, err = s.Create(ctx, Account{Name: AdminName, Organization: RootOrganization, Roles: []string{RoleAdmin}}, password)
	if errors.Is(err, ErrExists) {
		return false, nil
	}
	return err == nil, err
}

// Create stores a new account in the organisation that a names (root if none), which is created if need be. What is also to be done is
// done in the same transaction.
func (s *Store) Create(ctx context.Context, a Account, password string, also ...func(pgx.Tx, Account) error) (Account, error) {
	if len(password) < MinPassword || len(password) > MaxPassword {
		return Account{}, ErrWeak
	}
	if a.Organization == "" {
		a.Organization = RootOrganization
	}
	if a.Roles == nil {
		a.Roles = []string{}
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return Account{}, fmt.Errorf("hash password: %w", err)
	}
	a.ID = pki.NewID()
	err = store.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO organization (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING`, pki.NewID(), a.Organization)
		if err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `SELECT id, name FROM organization WHERE lower(name) = lower($1)`, a.Organization).
			Scan(&a.OrganizationID, &a.Organization)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO account (id, organization_id, name, email, password) VALUES ($1, $2, $3, $4, $5)`,
			a.ID, a.OrganizationID, a.Name, a.Email, hash)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO membership (organization_id, account_id, roles) VALUES ($1, $2, $3)`, a.OrganizationID, a.ID, a.Roles)
		for _, f := range also {
			if err == nil {
				err = f(tx, a)
			}
		}
		return err
	})
	if store.IsUniqueViolation(err, "account_name") {
		return Account{}, ErrExists
	}
	if err != nil {
		return Account{}, fmt.Errorf("create user %s: %w", a.Name, err)
	}
	return a, nil
}

const selectAccount = `SELECT a.id, a.name, o.id, o.name, a.email, m.roles FROM account a
	JOIN organization o ON o.id = a.organization_id JOIN membership m ON m.account_id = a.id AND m.organization_id = o.id `

// List returns all accounts by organisation and name; with an organisation's id, those whose own it is.
func (s *Store) List(ctx context.Context, organization string) ([]Account, error) {
	rows, err := s.pool.Query(ctx, selectAccount+`WHERE $1 IN ('', o.id) ORDER BY o.name, a.name`, organization)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Account])
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return list, nil
}

// Find returns the account of a name or id; with an organisation's id, one whose own it is. It fails with [ErrNotFound], or with
// [ErrAmbiguous] for a name that users of several organisations have.
func (s *Store) Find(ctx context.Context, organization, name string) (Account, error) {
	return find(ctx, s.pool, organization, name)
}

// querier is what a pool and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func find(ctx context.Context, q querier, organization, name string) (Account, error) {
	rows, err := q.Query(ctx, selectAccount+`WHERE $1 IN ('', o.id) AND (a.id = $2 OR lower(a.name) = lower($2)) ORDER BY a.id <> $2 LIMIT 2`,
		organization, name)
	if err != nil {
		return Account{}, fmt.Errorf("look up user %s: %w", name, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Account])
	switch {
	case err != nil:
		return Account{}, fmt.Errorf("look up user %s: %w", name, err)
	case len(list) == 0:
		return Account{}, ErrNotFound
	case len(list) > 1 && list[0].ID != name:
		return Account{}, ErrAmbiguous
	}
	return list[0], nil
}

// ChangePassword sets a new password if old is the present one, and ends all logins of the account.
func (s *Store) ChangePassword(ctx context.Context, accountID, old, fresh string) error {
	if len(fresh) < MinPassword || len(fresh) > MaxPassword {
		return ErrWeak
	}
	var stored string
	err := s.pool.QueryRow(ctx, `SELECT password FROM account WHERE id = $1`, accountID).Scan(&stored)
	if err != nil {
		return notFound(err, "look up user")
	}
	ok, err := s.hasher.verify(ctx, old, stored)
	if err != nil {
		return fmt.Errorf("check password: %w", err)
	}
	if !ok {
		return ErrCredentials
	}
	hash, err := s.hasher.hash(ctx, fresh)
	if err != nil {
		return fmt.Errorf("hash password: %w", err)
	}
	return store.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE account SET password = $2 WHERE id = $1`, accountID, hash); err != nil {
			return fmt.Errorf("store password: %w", err)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM session WHERE account_id = $1`, accountID); err != nil {
			return fmt.Errorf("end logins: %w", err)
		}
		return nil
	})
}

// Delete removes the account with this id and ends its logins. Its applications stay, to be managed by an administrator. It fails with
// [ErrNotFound] or [ErrLastAdmin].
func (s *Store) Delete(ctx context.Context, id string) error {
	return store.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM account WHERE id = $1`, id)
		if err != nil {
			return fmt.Errorf("delete user %s: %w", id, err)
		}
		if tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		return someAdmin(ctx, tx)
	})
}

func notFound(err error, doing string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	}
	return fmt.Errorf("%s: %w", doing, err)
}
