// SPDX-License-Identifier: Apache-2.0

package features_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/oakestra/oakestra-ebpf/bpf/features"
)

func TestRecordIsPinnedAndReplaced(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, unix.Mount("bpf", dir, "bpf", 0, ""), "mount a BPF file system: the test needs root")
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })

	_, err := features.Read(dir)
	require.ErrorIs(t, err, os.ErrNotExist)

	want := features.Record{Kernel: "6.1.0", Probed: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Features: []features.Feature{
		{Name: "tcx", Least: "6.6", Use: "links", Fallback: "filters"}, {Name: "redirect_peer", Least: "5.10", Found: true, Used: true},
	}}
	for _, kernel := range []string{"6.1.0", "6.18"} {
		want.Kernel = kernel
		require.NoError(t, features.Write(dir, want))
		got, err := features.Read(dir)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	assert.Equal(t, want.Features[:1], want.Fallbacks())
	assert.True(t, want.Uses("redirect_peer"))
	assert.False(t, want.Uses("tcx"))
	assert.False(t, want.Uses("unheard_of"))
	_, err = os.Stat(filepath.Join(dir, features.Pin+"_new"))
	require.ErrorIs(t, err, os.ErrNotExist, "nothing is left over")

	want.Kernel = strings.Repeat("x", 1<<15)
	require.ErrorContains(t, features.Write(dir, want), "at most")
}
