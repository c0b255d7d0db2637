// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"

	"github.com/oakestra/oakestra-ebpf/control/pki"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
)

// Validity of tokens, as users' clients know them.
const (
	AccessTTL  = 10 * time.Minute
	RefreshTTL = 7 * 24 * time.Hour
)

// maxSessions bounds the logins of one account; a further one ends the oldest.
const maxSessions = 100

// The kinds of token.
const (
	kindAccess  = "access"
	kindRefresh = "refresh"
)

// claims are what a token says. User, Roles and Organization are those that existing clients read.
type claims struct {
	jwt.RegisteredClaims
	Kind         string   `json:"type"`
	Session      string   `json:"sid"`
	User         string   `json:"user"`
	UserID       string   `json:"user_id"`
	Roles        []string `json:"roles"`
	Organization string   `json:"organization"`
}

func newSigningKey() []byte {
	key := make([]byte, 32) // as long as the hash of HS256
	_, _ = rand.Read(key)
	return key
}

// Tokens is the answer to a login.
type Tokens struct {
	Access  string
	Refresh string
}

// Login checks a password and starts a session. An empty organization stands for root. It fails with [ErrOrganization] or
// [ErrCredentials].
func (s *Store) Login(ctx context.Context, organization, name, password string) (Tokens, error) {
	if organization == "" {
		organization = RootOrganization
	}
	var org string
	err := s.pool.QueryRow(ctx, `SELECT id FROM organization WHERE lower(name) = lower($1)`, organization).Scan(&org)
	if errors.Is(err, pgx.ErrNoRows) {
		return Tokens{}, ErrOrganization
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("look up organization: %w", err)
	}
	var a Account
	stored := s.decoy
	// Of namesakes, the one whose own organisation it is; another member logs in by id.
	err = s.pool.QueryRow(ctx, `SELECT a.id, a.name, m.organization_id, m.roles, a.password FROM membership m JOIN account a ON a.id = m.account_id
		WHERE m.organization_id = $1 AND (lower(a.name) = lower($2) OR a.id = $2)
		ORDER BY a.id <> $2, a.organization_id <> m.organization_id, a.created_at LIMIT 1`, org, name).Scan(&a.ID, &a.Name, &a.OrganizationID, &a.Roles, &stored)
	known := err == nil
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Tokens{}, fmt.Errorf("look up user: %w", err)
	}
	if len(password) > MaxPassword {
		return Tokens{}, ErrCredentials
	}
	ok, err := s.hasher.verify(ctx, password, stored)
	if err != nil {
		return Tokens{}, fmt.Errorf("check password: %w", err)
	}
	if !known || !ok {
		return Tokens{}, ErrCredentials
	}
	return s.startSession(ctx, a)
}

func (s *Store) startSession(ctx context.Context, a Account) (Tokens, error) {
	session := pki.NewID()
	err := store.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM session WHERE expires_at < now() OR id IN
			(SELECT id FROM session WHERE account_id = $1 ORDER BY expires_at DESC OFFSET $2)`, a.ID, maxSessions-1)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO session (id, account_id, organization_id, expires_at) VALUES ($1, $2, $3, $4)`,
			session, a.ID, a.OrganizationID, time.Now().Add(RefreshTTL))
		return err
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("start session: %w", err)
	}
	access, err := s.sign(a, session, kindAccess, AccessTTL)
	if err != nil {
		return Tokens{}, err
	}
	refresh, err := s.sign(a, session, kindRefresh, RefreshTTL)
	if err != nil {
		return Tokens{}, err
	}
	return Tokens{Access: access, Refresh: refresh}, nil
}

func (s *Store) sign(a Account, session, kind string, ttl time.Duration) (string, error) {
	now := time.Now()
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			ID: pki.NewID(), Subject: a.Name, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
		},
		Kind: kind, Session: session, User: a.Name, UserID: a.ID, Roles: a.Roles, Organization: a.OrganizationID,
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}

// Principal is who a request comes from, with the organisation that he has logged in to and his roles there.
type Principal struct {
	Account
	Session string
}

// IsAdmin reports whether the principal may do everything.
func (p Principal) IsAdmin() bool { return slices.Contains(p.Roles, RoleAdmin) }

// OwnsMachines reports whether the principal may run what owns the machine that it runs on.
func (p Principal) OwnsMachines() bool {
	return p.IsAdmin() || slices.Contains(p.Roles, RoleInfrastructureProvider)
}

// IsOrganizationAdmin reports whether the principal may do everything in his organisation.
func (p Principal) IsOrganizationAdmin() bool {
	return p.IsAdmin() || slices.Contains(p.Roles, RoleOrganizationAdmin)
}

// Authenticate checks an access token. Name and roles are the account's present ones, not those in the token; a login that
// was ended counts no more. It fails with [ErrToken].
func (s *Store) Authenticate(ctx context.Context, token string) (Principal, error) {
	return s.check(ctx, token, kindAccess)
}

// Refresh returns a new access token for a refresh token. It fails with [ErrToken].
func (s *Store) Refresh(ctx context.Context, token string) (access string, err error) {
	p, err := s.check(ctx, token, kindRefresh)
	if err != nil {
		return "", err
	}
	return s.sign(p.Account, p.Session, kindAccess, AccessTTL)
}

// Logout ends the principal's login; its tokens are worth nothing from then on.
func (s *Store) Logout(ctx context.Context, p Principal) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM session WHERE id = $1`, p.Session); err != nil {
		return fmt.Errorf("end login: %w", err)
	}
	return nil
}

func (s *Store) check(ctx context.Context, token, kind string) (Principal, error) {
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return s.key, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired())
	if err != nil || c.Kind != kind {
		return Principal{}, ErrToken
	}
	return s.Present(ctx, c.Session)
}

// Present returns who a login is at present, with the roles that he has now; [ErrToken] if it has ended. Requests that last ask for it again.
func (s *Store) Present(ctx context.Context, session string) (Principal, error) {
	p := Principal{Session: session}
	a := &p.Account
	err := s.pool.QueryRow(ctx, `SELECT a.id, a.name, o.id, o.name, a.email, m.roles FROM session s JOIN account a ON a.id = s.account_id
		JOIN organization o ON o.id = s.organization_id JOIN membership m ON m.account_id = a.id AND m.organization_id = o.id
		WHERE s.id = $1 AND s.expires_at > now()`, session).
		Scan(&a.ID, &a.Name, &a.OrganizationID, &a.Organization, &a.Email, &a.Roles)
	if errors.Is(err, pgx.ErrNoRows) {
		return Principal{}, ErrToken
	}
	if err != nil {
		return Principal{}, fmt.Errorf("look up login: %w", err)
	}
	return p, nil
}
