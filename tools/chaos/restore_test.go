// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/client"
)

// TestRestoredFromAnOldDump gives the cluster, root, and then both a database that is older than what was acknowledged since. What was
// deployed since is in no row then, and yet nothing stops: it is adopted from below, until databases, containers and maps agree again. What
// is deployed afterwards gets addresses that nobody has, and what was undeployed since, which a cluster starts again, is stopped again.
func TestRestoredFromAnOldDump(t *testing.T) {
	w := world(t, 1, 2)
	r := NewRun(w, 1, testLog{t})
	_, err := r.settled(t.Context(), time.Minute)
	require.NoError(t, err)
	for _, restored := range [][]string{{"c1"}, {"root"}, {"root", "c1"}} {
		// One that the dump knows, and that is removed afterwards.
		changing := w.services["c1"][serviceChanging].ID
		require.NoError(t, w.Scene.API.AddInstance(t.Context(), changing))
		_, err := r.settled(t.Context(), time.Minute)
		require.NoError(t, err)
		d, err := w.Dump(t.Context(), t.TempDir(), restored...)
		require.NoError(t, err)
		now, err := w.Scene.API.Service(t.Context(), changing)
		require.NoError(t, err)
		stays := slices.IndexFunc(now.Instances, func(i client.Instance) bool { return !i.Deleting })
		require.GreaterOrEqual(t, stays, 0, "the service has no instance to remove")
		require.NoError(t, r.writer.remove(t.Context(), w.Scene.API, changing, now.Instances[stays].Number))
		for range 2 {
			r.writer.deploy(t.Context())
			r.writer.scale(t.Context())
		}
		require.Zero(t, r.writer.refused)
		require.NoError(t, r.Restore(t.Context(), d, restored...))
	}
	require.NotZero(t, r.writer.deployed)
	twice(t, w, r)
}

// twice gives root, and then root and the cluster, the same old database: what was removed since is wanted again by root, placed anew by the
// cluster, and then known to the cluster as it was in its former life, of the same generation on a worker that need not be the same.
func twice(t *testing.T, w *World, r *Run) {
	t.Helper()
	changing := w.services["c1"][serviceChanging].ID
	for range 2 {
		require.NoError(t, w.Scene.API.AddInstance(t.Context(), changing))
	}
	_, err := r.settled(t.Context(), time.Minute)
	require.NoError(t, err)
	d, err := w.Dump(t.Context(), t.TempDir(), "root", "c1")
	require.NoError(t, err)
	now, err := w.Scene.API.Service(t.Context(), changing)
	require.NoError(t, err)
	for _, i := range now.Instances {
		if !i.Deleting {
			require.NoError(t, r.writer.remove(t.Context(), w.Scene.API, changing, i.Number))
		}
	}
	_, err = r.settled(t.Context(), time.Minute)
	require.NoError(t, err)
	require.NoError(t, r.Restore(t.Context(), d, "root"))
	require.NoError(t, r.Restore(t.Context(), d, "root", "c1"))
}
