// SPDX-License-Identifier: Apache-2.0

package vault

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSealedOpensOnlyAsItWasMeant(t *testing.T) {
	v, err := New(bytes.Repeat([]byte{1}, KeyBytes))
	require.NoError(t, err)
	other, err := New(bytes.Repeat([]byte{2}, KeyBytes))
	require.NoError(t, err)
	for _, value := range []string{"", "x", "a value of some length, to be looked for"} {
		sealed, err := v.Seal([]byte(value), "org/name/1")
		require.NoError(t, err)
		got, err := v.Open(sealed, "org/name/1")
		require.NoError(t, err)
		require.Equal(t, value, string(got))
		if value != "" && len(value) > 1 {
			require.NotContains(t, string(sealed), value)
		}
		again, err := v.Seal([]byte(value), "org/name/1")
		require.NoError(t, err)
		require.NotEqual(t, sealed, again)
		_, err = v.Open(sealed, "org/name/2")
		require.ErrorIs(t, err, ErrSealed)
		_, err = other.Open(sealed, "org/name/1")
		require.ErrorIs(t, err, ErrSealed)
		for i := range sealed {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1
			_, err := v.Open(changed, "org/name/1")
			require.ErrorIs(t, err, ErrSealed, "byte %d", i)
			_, err = v.Open(sealed[:i], "org/name/1")
			require.ErrorIs(t, err, ErrSealed, "cut at %d", i)
		}
	}
	require.NotEqual(t, v.ID(), other.ID())
	_, err = New([]byte("short"))
	require.Error(t, err)
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "secrets.key")
	_, err := Load(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
	v, err := Create(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	second, err := Create(path) // as another process at the same time
	require.NoError(t, err)
	require.Equal(t, v.ID(), second.ID())
	files, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.NoError(t, os.Chmod(path, 0o640))
	_, err = Load(path)
	require.ErrorContains(t, err, "chmod 600")
	require.NoError(t, os.Chmod(path, 0o600))
	require.NoError(t, os.WriteFile(path, []byte("no base64!"), 0o600))
	_, err = Load(path)
	require.ErrorContains(t, err, "base64")
}
