// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// TestLostWorkerComesBack cuts a worker off for longer than lost_after. Its instances go to the other worker, while it keeps its own copies
// running; when it is back, exactly the older copies stop.
func TestLostWorkerComesBack(t *testing.T) {
	const lost = 10 * time.Second
	w := worldWith(t, 1, 2, func(o *testbed.Options) { o.LostAfter, o.Standby = lost, false })
	r := NewRun(w, 1, testLog{t})
	before, err := r.settled(t.Context(), time.Minute)
	require.NoError(t, err)
	// Nobody is lost since the cluster itself was held for longer than that. That its broker was away is a test of package cluster.
	held := Fault{Kind: StopCluster, Target: "cluster-orchestrator@c1", Hold: lost + 8*time.Second}
	require.NoError(t, held.do(t.Context(), w.Testbed))
	_, err = r.settled(t.Context(), Converge)
	require.NoError(t, err, "after the cluster was held")
	pause(t.Context(), 2*time.Second) // what it would do late
	after, err := r.settled(t.Context(), Converge)
	require.NoError(t, err)
	require.Equal(t, before.Tasks, after.Tasks, "after the cluster was held")
	workers := w.Testbed.Hosts(testbed.RoleWorker)
	gone, here := workers[0].Name, workers[1].Name
	alone, err := w.Testbed.Tasks(t.Context(), gone)
	require.NoError(t, err)
	require.NotEmpty(t, alone)
	require.NoError(t, w.Testbed.AddCut(t.Context(), gone, ""))
	// All instances run on the worker that is left, whatever else runs on the other.
	err = scene.Until(t.Context(), lost+time.Minute, func(ctx context.Context) error {
		tasks, err := w.Testbed.Tasks(ctx, here)
		if err != nil {
			return err
		}
		if len(tasks) != len(before.Tasks) {
			return fmt.Errorf("%s runs %d of %d", here, len(tasks), len(before.Tasks))
		}
		return nil
	})
	require.NoError(t, err)
	kept, err := w.Testbed.Tasks(t.Context(), gone)
	require.NoError(t, err)
	require.Equal(t, alone, kept, "the worker that is cut off keeps what it runs")
	moved, err := w.Testbed.Tasks(t.Context(), here)
	require.NoError(t, err)

	require.NoError(t, w.Testbed.Heal(t.Context(), gone, ""))
	err = scene.Until(t.Context(), Converge, func(ctx context.Context) error {
		v, err := Judge(ctx, w.Testbed)
		if err != nil {
			return err
		}
		return errors.Join(v.Err(), w.Answers(ctx, v))
	})
	require.NoError(t, err)
	now, err := w.Testbed.Tasks(t.Context(), here)
	require.NoError(t, err)
	require.True(t, maps.Equal(moved, now), "the newer copies went on: %v, %v", moved, now)
}
