// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// Errors about organisations. Their texts are for the user.
var (
	ErrOrganizationExists = errors.New("an organization of this name exists already")
	ErrOrganizationInUse  = errors.New("the organization has users or applications of its own: delete these first")
	ErrRootOrganization   = errors.New("the organization root stays, and keeps its name")
)

// NoMemberError says that a member that was asked for is no user.
type NoMemberError struct{ Index int }

func (e *NoMemberError) Error() string { return fmt.Sprintf("member %d is no user's id", e.Index) }

// Organization has members: the users whose own it is, and guests from others.
type Organization struct {
	ID      string
	Name    string
	Members []Member
}

// Member is a user with his roles in an organisation.
type Member struct {
	UserID string
	Name   string
	Roles  []string
}

// Organizations returns all by name, or the one with this id, with their members by name.
func (s *Store) Organizations(ctx context.Context, id string) ([]Organization, error) {
	return organizations(ctx, s.pool, id)
}

func organizations(ctx context.Context, q querier, id string) ([]Organization, error) {
	rows, err := q.Query(ctx, `SELECT o.id, o.name, coalesce(a.id, ''), coalesce(a.name, ''), coalesce(m.roles, '{}') FROM organization o
		LEFT JOIN membership m ON m.organization_id = o.id LEFT JOIN account a ON a.id = m.account_id
		WHERE $1 IN ('', o.id) ORDER BY lower(o.name), lower(a.name), a.id`, id)
	if err != nil {
		return nil, fmt.Errorf("list organizations: %w", err)
	}
	list := []Organization{}
	var o Organization
	var m Member
	_, err = pgx.ForEachRow(rows, []any{&o.ID, &o.Name, &m.UserID, &m.Name, &m.Roles}, func() error {
		if len(list) == 0 || list[len(list)-1].ID != o.ID {
			list = append(list, Organization{ID: o.ID, Name: o.Name, Members: []Member{}})
		}
		if last := &list[len(list)-1]; m.UserID != "" {
			last.Members = append(last.Members, m)
		}
		m.Roles = nil // the next row's are others'
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list organizations: %w", err)
	}
	return list, nil
}

// CreateOrganization stores a new organisation with members, who keep their own. What is also to be done is done in the same transaction. It fails with [ErrOrganizationExists] or a
// [NoMemberError].
func (s *Store) CreateOrganization(ctx context.Context, o Organization, also ...func(pgx.Tx, Organization) error) (Organization, error) {
	o.ID = pki.NewID()
	return s.changeOrganization(ctx, o.ID, also, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO organization (id, name) VALUES ($1, $2)`, o.ID, o.Name); err != nil {
			return err
		}
		return setMembers(ctx, tx, o.ID, o.Members)
	})
}

// UpdateOrganization changes an organisation's name and all its members, where not nil. The users whose own it is stay members; those not
// named lose their roles in it. It fails with [ErrOrganization], [ErrOrganizationExists], [ErrRootOrganization], [ErrLastAdmin] or a
// [NoMemberError], and changes nothing then.
//
// expect is asked first, with what the organisation is until then; its error is returned.
func (s *Store) UpdateOrganization(ctx context.Context, id string, expect func(Organization) error, name *string, members *[]Member) (Organization, error) {
	return s.changeOrganization(ctx, id, nil, func(tx pgx.Tx) error {
		var old string
		err := tx.QueryRow(ctx, `SELECT name FROM organization WHERE id = $1 FOR UPDATE`, id).Scan(&old)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return ErrOrganization
		case err != nil:
			return err
		}
		list, err := organizations(ctx, tx, id)
		if err == nil && len(list) == 1 {
			err = expect(list[0])
		}
		switch {
		case err != nil:
			return err
		case name != nil && old == RootOrganization && *name != old:
			return ErrRootOrganization
		case name != nil:
			if _, err := tx.Exec(ctx, `UPDATE organization SET name = $2 WHERE id = $1`, id, *name); err != nil {
				return err
			}
		}
		if members == nil {
			return nil
		}
		if err := setMembers(ctx, tx, id, *members); err != nil {
			return err
		}
		return someAdmin(ctx, tx)
	})
}

// setMembers makes exactly these the members, besides those whose own organisation it is. Logins of guests who are none any more end.
func setMembers(ctx context.Context, tx pgx.Tx, id string, members []Member) error {
	keep := make([]string, 0, len(members))
	for _, m := range members {
		keep = append(keep, m.UserID)
	}
	_, err := tx.Exec(ctx, `DELETE FROM membership m USING account a WHERE m.organization_id = $1 AND a.id = m.account_id
		AND a.organization_id <> $1 AND NOT a.id = ANY($2)`, id, keep)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE membership SET roles = '{}' WHERE organization_id = $1 AND NOT account_id = ANY($2)`, id, keep); err != nil {
		return err
	}
	for i, m := range members {
		if m.Roles == nil {
			m.Roles = []string{}
		}
		tag, err := tx.Exec(ctx, `INSERT INTO membership (organization_id, account_id, roles) SELECT $1, id, $3 FROM account WHERE id = $2
			ON CONFLICT (organization_id, account_id) DO UPDATE SET roles = excluded.roles`, id, m.UserID, m.Roles)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return &NoMemberError{Index: i}
		}
	}
	return nil
}

// DeleteOrganization removes an organisation that has neither users nor applications of its own; guests lose it. It fails with
// [ErrOrganization], [ErrOrganizationInUse], [ErrRootOrganization] or [ErrLastAdmin].
func (s *Store) DeleteOrganization(ctx context.Context, id string) error {
	err := store.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var name string
		var used bool
		err := tx.QueryRow(ctx, `SELECT name, EXISTS (SELECT FROM account WHERE organization_id = o.id) OR
			EXISTS (SELECT FROM application WHERE organization_id = o.id) OR EXISTS (SELECT FROM address WHERE organization_id = o.id AND released_at IS NULL)
			FROM organization o WHERE id = $1 FOR UPDATE`, id).Scan(&name, &used)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return ErrOrganization
		case err != nil:
			return err
		case name == RootOrganization:
			return ErrRootOrganization
		case used:
			return ErrOrganizationInUse
		}
		if _, err := tx.Exec(ctx, `DELETE FROM organization WHERE id = $1`, id); err != nil {
			return err
		}
		return someAdmin(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("delete organization %s: %w", id, err)
	}
	return nil
}

func (s *Store) changeOrganization(ctx context.Context, id string, also []func(pgx.Tx, Organization) error, change func(pgx.Tx) error) (o Organization, err error) {
	err = store.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		list, err := organizations(ctx, tx, id)
		if err == nil && len(list) == 1 {
			o = list[0]
		}
		for _, f := range also {
			if err == nil {
				err = f(tx, o)
			}
		}
		return err
	})
	if store.IsUniqueViolation(err, "organization_name") {
		return o, ErrOrganizationExists
	}
	if err != nil {
		return o, fmt.Errorf("change organization %s: %w", id, err)
	}
	return o, nil
}
