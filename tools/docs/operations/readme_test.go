// SPDX-License-Identifier: Apache-2.0

package operations

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/docs/blocks"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// TestFirstPage types what the first page says of the demo and of the testbed.
func TestFirstPage(t *testing.T) {
	is := typed(t)
	fill := map[string]string{}
	user := terminal(t, blocks.Shell{Fill: fill, Within: 4 * time.Minute, Env: append(os.Environ(), "OAK_CONFIG="+filepath.Join(t.TempDir(), "oak.json"), "INSTALL=no")})
	t.Cleanup(func() { require.NoError(t, testbed.Down(context.Background(), testbed.DefaultDir)) })
	is(user.Type(t.Context(), "README.md", "demo"))
	out := is(user.Type(t.Context(), "README.md", "up"))
	tb, err := testbed.Open()
	require.NoError(t, err)
	fill["ADDRESS OF ROOT"], fill["PASSWORD"] = tb.API().URL, tb.API().Password
	require.Contains(t, out, tb.API().URL, "make up does not print it")
	require.Contains(t, out, tb.API().Password, "make up does not print it")
	out = is(user.Type(t.Context(), "README.md", "try"))
	require.Contains(t, out, "10.30.30.30")
	is(user.Type(t.Context(), "README.md", "down"))
	_, err = testbed.Open()
	require.ErrorIs(t, err, testbed.ErrDown)
}
