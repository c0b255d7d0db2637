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
		sealed, err := v.Seal(v.ID(), []byte(value), "org/name/1")
		require.NoError(t, err)
		got, err := v.Open(sealed, "org/name/1")
		require.NoError(t, err)
		require.Equal(t, value, string(got))
		if value != "" && len(value) > 1 {
			require.NotContains(t, string(sealed), value)
		}
		again, err := v.Seal(v.ID(), []byte(value), "org/name/1")
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

func TestValuesGoFromOneKeyToTheOther(t *testing.T) {
	former, next := Generate(), Generate()
	both, err := next.Before(former)
	require.NoError(t, err)
	require.Equal(t, next.ID(), both.ID())
	require.True(t, both.Has(former.ID()))
	sealed, err := former.Seal(former.ID(), []byte("value"), "c")
	require.NoError(t, err)
	_, err = former.Reseal(next.ID(), sealed, "c")
	require.ErrorIs(t, err, ErrNoKey)
	_, err = next.Reseal(next.ID(), sealed, "c")
	require.ErrorIs(t, err, ErrSealed)
	_, err = both.Reseal(next.ID(), sealed, "d")
	require.ErrorIs(t, err, ErrSealed)
	moved, err := both.Reseal(next.ID(), sealed, "c")
	require.NoError(t, err)
	for _, v := range []*Vault{next, both} {
		got, err := v.Open(moved, "c")
		require.NoError(t, err)
		require.Equal(t, "value", string(got))
	}
	_, err = former.Open(moved, "c")
	require.ErrorIs(t, err, ErrSealed)

	// A file of several keys is read as it is written, and anew when it has changed.
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, former.Save(path))
	read, err := Load(path)
	require.NoError(t, err)
	_, err = read.Open(moved, "c")
	require.ErrorIs(t, err, ErrSealed)
	require.NoError(t, both.Save(path))
	require.True(t, read.Reload())
	require.False(t, read.Reload(), "it is as it was read")
	got, err := read.Open(moved, "c")
	require.NoError(t, err)
	require.Equal(t, "value", string(got))
	require.Equal(t, next.ID(), read.ID())
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	_, err = New()
	require.ErrorContains(t, err, "there are 0")
}
