// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func sampleToken() Token {
	return Token{Audience: NewID(), Role: RoleCluster, ID: NewID(), Secret: NewSecret(), CAHash: CertHash([]byte("ca"))}
}

func TestTokenRoundTrip(t *testing.T) {
	want := sampleToken()
	got, err := ParseToken(" " + want.String() + "\n")
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestTokenRefused(t *testing.T) {
	mutate := map[string]func(*Token){
		"audience": func(t *Token) { t.Audience = "x" },
		"role":     func(t *Token) { t.Role = "admin" },
		"id":       func(t *Token) { t.ID = "" },
		"secret":   func(t *Token) { t.Secret = t.Secret[1:] },
		"hash":     func(t *Token) { t.CAHash = "ZZ" + t.CAHash[2:] },
	}
	for name, change := range mutate {
		tok := sampleToken()
		change(&tok)
		_, err := ParseToken(tok.String())
		require.ErrorIs(t, err, ErrToken, name)
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(sampleToken().String())
	f.Add("oak1.....")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := ParseToken(s)
		if err != nil {
			return
		}
		again, err := ParseToken(tok.String())
		if err != nil || again != tok {
			t.Fatalf("token %q does not round-trip: %v", s, err)
		}
	})
}

func TestNewIDsDiffer(t *testing.T) {
	a, b := NewID(), NewID()
	require.True(t, ValidID(a))
	require.NotEqual(t, a, b)
	require.False(t, ValidID("../../etc/passwd"))
}

func TestCSRProvesTheKey(t *testing.T) {
	key, err := NewKey()
	require.NoError(t, err)
	csr, err := NewCSR(key)
	require.NoError(t, err)
	_, err = ParseCSR(csr)
	require.NoError(t, err)
	_, err = ParseCSR([]byte("junk"))
	require.Error(t, err)
	_, err = ParseCSR(key)
	require.Error(t, err)
}
