// SPDX-License-Identifier: Apache-2.0

package users

import (
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/orchestrators/root/schema"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

func open(t *testing.T) *Store {
	t.Helper()
	pool, err := store.Open(t.Context(), pgtest.New(t), schema.Files(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s, err := Open(t.Context(), pool)
	require.NoError(t, err)
	return s
}

func TestAdminIsCreatedOnce(t *testing.T) {
	s := open(t)
	created, err := s.EnsureAdmin(t.Context(), "first password")
	require.NoError(t, err)
	require.True(t, created)
	created, err = s.EnsureAdmin(t.Context(), "second password")
	require.NoError(t, err)
	require.False(t, created)
	_, err = s.Login(t.Context(), "", "Admin", "first password")
	require.NoError(t, err)
	_, err = s.Login(t.Context(), "root", "admin", "second password")
	require.ErrorIs(t, err, ErrCredentials)
	_, err = s.Login(t.Context(), "", "nobody", "first password")
	require.ErrorIs(t, err, ErrCredentials)
	_, err = s.Login(t.Context(), "nowhere", "Admin", "first password")
	require.ErrorIs(t, err, ErrOrganization)
}

func TestTokensAreCheckedAndRevoked(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	a, err := s.Create(ctx, Account{Name: "eve", Organization: "acme"}, "a long password")
	require.NoError(t, err)
	login, err := s.Login(ctx, "Acme", "eve", "a long password")
	require.NoError(t, err)
	p, err := s.Authenticate(ctx, login.Access)
	require.NoError(t, err)
	require.Equal(t, a.ID, p.ID)
	require.False(t, p.IsAdmin())

	_, err = s.Authenticate(ctx, login.Refresh)
	require.ErrorIs(t, err, ErrToken, "a refresh token is no access token")
	_, err = s.Refresh(ctx, login.Access)
	require.ErrorIs(t, err, ErrToken, "an access token does not refresh itself")
	fresh, err := s.Refresh(ctx, login.Refresh)
	require.NoError(t, err)
	_, err = s.Authenticate(ctx, fresh)
	require.NoError(t, err)

	expired, err := s.sign(p.Account, p.Session, kindAccess, -time.Second)
	require.NoError(t, err)
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims{Kind: kindAccess, Session: p.Session}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)
	forged, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{Kind: kindAccess, Session: p.Session}).SignedString([]byte("guess"))
	require.NoError(t, err)
	for name, token := range map[string]string{"expired": expired, "none": none, "forged": forged, "junk": "x.y.z", "cut": strings.TrimSuffix(fresh, fresh[len(fresh)-4:])} {
		_, err = s.Authenticate(ctx, token)
		require.ErrorIs(t, err, ErrToken, name)
	}

	require.NoError(t, s.Logout(ctx, p))
	for _, token := range []string{login.Access, fresh} {
		_, err = s.Authenticate(ctx, token)
		require.ErrorIs(t, err, ErrToken)
	}
	_, err = s.Refresh(ctx, login.Refresh)
	require.ErrorIs(t, err, ErrToken)
}

func TestChangePasswordEndsLogins(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	a, err := s.Create(ctx, Account{Name: "eve"}, "a long password")
	require.NoError(t, err)
	_, err = s.Create(ctx, Account{Name: "EVE"}, "a long password")
	require.ErrorIs(t, err, ErrExists)
	login, err := s.Login(ctx, "", "eve", "a long password")
	require.NoError(t, err)
	require.ErrorIs(t, s.ChangePassword(ctx, a.ID, "wrong", "another password"), ErrCredentials)
	require.ErrorIs(t, s.ChangePassword(ctx, a.ID, "a long password", "short"), ErrWeak)
	require.NoError(t, s.ChangePassword(ctx, a.ID, "a long password", "another password"))
	_, err = s.Authenticate(ctx, login.Access)
	require.ErrorIs(t, err, ErrToken)
	_, err = s.Login(ctx, "", "eve", "another password")
	require.NoError(t, err)
	_, err = s.EnsureAdmin(ctx, "a long password")
	require.NoError(t, err)
	require.NoError(t, s.Delete(ctx, a.ID))
	require.ErrorIs(t, s.Delete(ctx, a.ID), ErrNotFound)
}

// TestRolesAreKept migrates a database of the time when roles belonged to accounts.
func TestRolesAreKept(t *testing.T) {
	ctx, url, log := t.Context(), pgtest.New(t), slog.New(slog.DiscardHandler)
	first, err := fs.ReadFile(schema.Files(), "00001_root.sql")
	require.NoError(t, err)
	pool, err := store.Open(ctx, url, fstest.MapFS{"00001_root.sql": {Data: first}}, log)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `INSERT INTO organization VALUES ('o', 'root')`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `INSERT INTO account (id, organization_id, name, password, roles) VALUES ('a', 'o', 'Admin', 'x', '{Admin}')`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `INSERT INTO session VALUES ('s', 'a', now() + interval '1 hour')`)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, `INSERT INTO signing_key (secret) VALUES ('secret')`)
	require.NoError(t, err)
	pool.Close()

	pool, err = store.Open(ctx, url, schema.Files(), log)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s, err := Open(ctx, pool)
	require.NoError(t, err)
	token, err := s.sign(Account{ID: "a"}, "s", kindAccess, time.Hour)
	require.NoError(t, err)
	p, err := s.Authenticate(ctx, token)
	require.NoError(t, err, "logins go on")
	require.True(t, p.IsAdmin())
	require.Equal(t, RootOrganization, p.Organization)
}
