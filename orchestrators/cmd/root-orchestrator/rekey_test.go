// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/orchestrators/root/schema"
	"github.com/oakestra/oakestra-ebpf/orchestrators/root/vault"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store"
	"github.com/oakestra/oakestra-ebpf/orchestrators/store/pgtest"
)

func TestRekeyWritesTheFileAndTheDatabase(t *testing.T) {
	url := pgtest.New(t)
	t.Setenv("OAK_ROOT_DATABASE", url)
	pool, err := store.Open(t.Context(), url, schema.Files(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	keyInUse := func() (id string) {
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT id FROM secret_key`).Scan(&id))
		return id
	}
	file := filepath.Join(t.TempDir(), "secrets.key")
	_, err = execute(t, "secrets", "rekey", "--secrets-key-file", file)
	require.ErrorContains(t, err, "--secrets-key-file")
	first, err := vault.Create(file)
	require.NoError(t, err)

	out, err := execute(t, "secrets", "rekey", "--secrets-key-file", file)
	require.NoError(t, err)
	now, err := vault.Load(file)
	require.NoError(t, err)
	require.Equal(t, "sealed 0 values with key "+now.ID()+"\n", out)
	require.NotEqual(t, first.ID(), now.ID())
	require.True(t, now.Has(first.ID()), "older dumps open with it")
	require.Equal(t, now.ID(), keyInUse())

	given := filepath.Join(t.TempDir(), "next")
	require.NoError(t, os.WriteFile(given, []byte(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", vault.KeyBytes)))), 0o600))
	want, err := vault.Load(given)
	require.NoError(t, err)
	_, err = execute(t, "secrets", "rekey", "--secrets-key-file", file, "--new-key-file", given, "--forget-former")
	require.NoError(t, err)
	only, err := vault.Load(file)
	require.NoError(t, err)
	require.Equal(t, want.ID(), only.ID())
	require.False(t, only.Has(now.ID()))
	require.Equal(t, want.ID(), keyInUse())

	// A key in the environment is changed in the database alone, and never lost: the new one has to be kept by who runs it.
	text, err := os.ReadFile(given)
	require.NoError(t, err)
	t.Setenv(secretsKeyVariable, string(text))
	_, err = execute(t, "secrets", "rekey")
	require.ErrorContains(t, err, "--new-key-file")
	another := filepath.Join(t.TempDir(), "another")
	third, err := vault.Create(another)
	require.NoError(t, err)
	_, err = execute(t, "secrets", "rekey", "--new-key-file", another)
	require.NoError(t, err)
	require.Equal(t, third.ID(), keyInUse())
}
