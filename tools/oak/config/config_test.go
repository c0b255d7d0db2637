// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/oak/config"
)

func TestSaveAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "config.json")
	c, err := config.Load(path)
	require.NoError(t, err)
	assert.Zero(t, c)

	c.Token = "secret"
	require.NoError(t, c.Set("url", "http://x:1"))
	assert.Empty(t, c.Token, "a token of another root is dropped")
	for _, key := range config.Keys() {
		require.NoError(t, c.Set(key, "v-"+key))
	}
	c.Token, c.RefreshToken = "secret", "secret2"
	require.NoError(t, c.Save(path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	again, err := config.Load(path)
	require.NoError(t, err)
	assert.Equal(t, c, again)

	assert.NotContains(t, fmt.Sprint(c.Shown()), "secret")
	assert.Equal(t, "v-username", c.Shown()["username"])

	require.NoError(t, config.Reset(path))
	require.NoError(t, config.Reset(path), "twice is no fault")
	again, err = config.Load(path)
	require.NoError(t, err)
	assert.Zero(t, again)
}

func TestSetUnknownKey(t *testing.T) {
	var c config.Config
	assert.ErrorIs(t, c.Set("password", "x"), config.ErrKey)
}

func TestBrokenFileNamesTheWayOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	_, err := config.Load(path)
	assert.ErrorContains(t, err, "oak config reset")
	assert.ErrorContains(t, err, path)
}
