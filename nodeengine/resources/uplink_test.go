// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLinkKbit(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		text string
		want int64
	}{
		"eth0": {"1000\n", 1_000_000}, "unknown": {"-1\n", 0}, "odd": {"fast\n", 0}, "huge": {"9223372036854775807\n", 0},
	} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "speed"), []byte(tc.text), 0o600))
		require.Equal(t, tc.want, linkKbit(dir, name), name)
	}
	require.Zero(t, linkKbit(dir, "none"))
	require.GreaterOrEqual(t, UplinkKbit(), int64(0))
}
