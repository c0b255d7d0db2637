// SPDX-License-Identifier: Apache-2.0

package bed_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/tools/sim/bed"
	"github.com/oakestra/oakestra-ebpf/tools/sim/fleet"
	"github.com/oakestra/oakestra-ebpf/tools/sim/hollow"
	"github.com/oakestra/oakestra-ebpf/tools/sim/workload"
)

// soon is far more than any of it takes, on a machine that does much else.
const soon = 90 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, soon, 20*time.Millisecond, what)
}

// programs builds the orchestrators as they are now.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const module = "github.com/oakestra/oakestra-ebpf/orchestrators/cmd/"
	out, err := exec.Command("go", "build", "-o", dir+string(os.PathSeparator), module+"root-orchestrator", module+"cluster-orchestrator").CombinedOutput()
	require.NoError(t, err, string(out))
	return dir
}

// Twenty workers, some of whom misbehave, run what real ones would: all that is deployed, and nothing else.
func TestTwentyHollowWorkers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*soon)
	defer cancel()
	b, err := bed.Up(ctx, bed.Options{Bin: programs(t)})
	require.NoError(t, err)
	defer b.Down()
	const workers, instances = 20, 20
	token, err := b.WorkerToken(ctx, workers)
	require.NoError(t, err)
	f, err := fleet.Start(ctx, fleet.Options{Cluster: b.ClusterAPI, Token: token, Workers: workers, Seed: 1, Every: 2 * time.Second,
		Create: 20 * time.Millisecond, Shares: map[hollow.Kind]float64{hollow.Slow: 0.1, hollow.Flapping: 0.1, hollow.Crashing: 0.1}})
	require.NoError(t, err)
	defer f.Close()
	steady := func(w *hollow.Worker) bool { return w.Kind() == hollow.Steady }
	eventually(t, "the steady ones connect", func() bool {
		for _, w := range f.Workers {
			if steady(w) && !w.Connected() {
				return false
			}
		}
		return true
	})

	app, err := workload.Create(ctx, b.Client, workload.Shape{Name: "twenty", Services: 1, Instances: instances, Image: "example.org/hollow:1", MemoryMB: 64, VCPUs: 1})
	require.NoError(t, err)
	for _, w := range f.Workers {
		w.Want(app.Addresses...)
	}
	require.NoError(t, app.Deploy(ctx, 4))
	runs(ctx, t, app, instances)
	service := string(app.Services[0])
	routes := func(n int) func() bool {
		return func() bool {
			for _, w := range f.Workers {
				// A crashing one's instances come and go, so that there may be one less at any time.
				if steady(w) && !w.Dead() && len(w.RoutesOf(service)) < n-2 {
					return false
				}
			}
			return true
		}
	}
	eventually(t, "everybody has routes", routes(instances))
	// Who was away while the instances were placed may have got none; two who have none are no peers.
	eventually(t, "who wants the service knows all as peers who run it, and who runs it all who want it", func() bool {
		for _, w := range f.Workers {
			known := w.Peers()
			for _, o := range f.Workers {
				related := o != w && steady(w) && steady(o) && len(w.Running())+len(o.Running()) > 0
				if related && !slices.Contains(known, o.ID()) {
					return false
				}
			}
		}
		return true
	})
	samples := f.Times.Take()
	require.NotEmpty(t, samples.First)
	t.Logf("%d routes, the last %v after its instance ran", len(samples.First), samples.First[len(samples.First)-1])

	// Who has vanished gets nothing more.
	var dead *hollow.Worker
	for _, w := range f.Workers {
		if steady(w) {
			dead = w
			break
		}
	}
	kept := len(dead.Running())
	dead.Die()
	eventually(t, "the cluster notices", func() bool {
		workers, err := b.Workers(ctx)
		return err == nil && workers[dead.ID()] == bed.Unavailable
	})
	require.NoError(t, app.Deploy(ctx, 4))
	runs(ctx, t, app, 2*instances)
	require.Len(t, dead.Running(), kept)

	// And what nobody wants any more goes.
	require.NoError(t, app.Delete(ctx))
	eventually(t, "everything stops", func() bool { return f.Running() == len(dead.Running()) })
	require.NoError(t, b.Check())
}

// runs waits until so many instances run by root's word. Those of crashing workers may be down for a moment.
func runs(ctx context.Context, t *testing.T, app *workload.App, n int) {
	t.Helper()
	seen := map[wire.InstanceKey]bool{}
	var last workload.Count
	eventually(t, fmt.Sprint(n, " instances run"), func() bool {
		count, err := app.Count(ctx)
		if err != nil {
			return false
		}
		last = count
		running, err := app.Running(ctx)
		for _, key := range running {
			seen[key] = true
		}
		return err == nil && len(seen) == n
	})
	require.Equal(t, n, last.Total())
}
