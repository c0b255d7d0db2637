// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
)

// What a long run is told by its environment: see make test-chaos.
const (
	envSeed   = "OAK_CHAOS_SEED"
	envFaults = "OAK_CHAOS_FAULTS"
	envWithin = "OAK_CHAOS_WITHIN"
	envAge    = "OAK_CHAOS_DUMP_AGE"
)

// wholeRun is how many faults a run has to have to hold each kind and each pair often enough.
const wholeRun = 200

// world raises a testbed with an application in each of its clusters.
func world(t *testing.T, clusters, workers int) *World {
	t.Helper()
	return worldWith(t, clusters, workers, func(*testbed.Options) {})
}

// worldWith does so with other options.
func worldWith(t *testing.T, clusters, workers int, change func(*testbed.Options)) *World {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the testbed makes network namespaces and loads BPF programs: run this test as root")
	}
	bin, err := filepath.Abs("../../bin")
	require.NoError(t, err)
	self, err := proc.Find(os.Getpid())
	require.NoError(t, err)
	o := testbed.Options{
		Dir: testbed.DefaultDir, Bin: bin, Self: filepath.Join(bin, "oak-testbed"), Roots: 2, Clusters: clusters, Workers: workers,
		Fsync: true, Broker: testbed.BrokerMosquitto, Standby: true, Owner: &self,
	}
	change(&o)
	t.Cleanup(func() {
		if t.Failed() {
			to, err := os.MkdirTemp("", "oak-chaos-")
			if err == nil && os.CopyFS(to, os.DirFS(filepath.Join(o.Dir, "logs"))) == nil {
				t.Logf("the logs of all components are in %s", to)
			}
		}
		if err := testbed.Down(context.Background(), o.Dir); err != nil {
			t.Error(err)
		}
	})
	tb, err := testbed.Up(t.Context(), o)
	require.NoError(t, err)
	s, err := scene.New(t.Context(), tb, bin, t.TempDir())
	require.NoError(t, err)
	w, err := NewWorld(t.Context(), s, bin)
	require.NoError(t, err)
	return w
}

// TestTwentyFaults is what of a long run there is time for each time.
func TestTwentyFaults(t *testing.T) {
	w := world(t, 2, 2)
	r := NewRun(w, 1, testLog{t})
	require.NoError(t, r.Steps(t.Context(), Plan(1, 20, HostsOf(w.Testbed), 4*time.Second)))
	require.NotZero(t, r.writer.acknowledged)
	require.ErrorContains(t, brokenBehindTheBack(t, w), "does not run on", "the judge would see nothing")
}

// brokenBehindTheBack ends a workload while its NodeEngine is held, and returns what the judge says.
func brokenBehindTheBack(t *testing.T, w *World) error {
	t.Helper()
	engine := "NodeEngine@" + w.Testbed.Hosts(testbed.RoleWorker)[0].Name
	require.NoError(t, testbed.Stop(t.Context(), engine))
	defer func() { require.NoError(t, testbed.Cont(t.Context(), engine)) }()
	tasks, err := w.Testbed.Tasks(t.Context(), w.Testbed.Hosts(testbed.RoleWorker)[0].Name)
	require.NoError(t, err)
	require.NotEmpty(t, tasks)
	for _, pid := range tasks {
		id, err := proc.Find(pid)
		require.NoError(t, err)
		require.NoError(t, proc.Kill(t.Context(), id))
	}
	v, err := Judge(t.Context(), w.Testbed)
	require.NoError(t, err)
	return v.Err()
}

// TestLongRun does as many faults as its environment says, and goes on where an earlier run with the same seed broke off. At its end the
// databases of root and a cluster, of the cluster, and of root are replaced by what they held at its beginning, or as long ago as its environment says.
func TestLongRun(t *testing.T) {
	faults, err := strconv.Atoi(os.Getenv(envFaults))
	if err != nil {
		t.Skipf("a long run is asked for by make test-chaos, which sets %s and %s", envSeed, envFaults)
	}
	seed, err := strconv.ParseUint(os.Getenv(envSeed), 10, 64)
	require.NoError(t, err, envSeed)
	dir := filepath.Join("..", "..", "dist")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	name := filepath.Join(dir, fmt.Sprintf("chaos-%d", seed))
	w := world(t, 2, 2)
	plan := Plan(seed, faults, HostsOf(w.Testbed), 10*time.Second)
	journal, err := OpenJournal(name+".json", seed, plan)
	require.NoError(t, err)
	done := len(journal.Passed)
	mode := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if done == 0 {
		mode |= os.O_TRUNC
	}
	log, err := os.OpenFile(name+".log", mode, 0o644)
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	r := NewRun(w, seed+uint64(done), io.MultiWriter(log, os.Stdout))
	r.Done = journal.Note
	if text := os.Getenv(envWithin); text != "" {
		within, err := time.ParseDuration(text)
		require.NoError(t, err, envWithin)
		r.Until = time.Now().Add(within)
	}
	r.say("seed %d, %d faults, %d done already", seed, faults, done)
	_, err = r.settled(t.Context(), 2*Converge)
	require.NoError(t, err)
	d, err := w.Dump(t.Context(), t.TempDir(), "root", "c1")
	require.NoError(t, err)
	err = r.Steps(t.Context(), plan[done:])
	r.say("%s", Table(journal.Passed))
	require.NoError(t, err)
	if text := os.Getenv(envAge); text != "" {
		age, err := time.ParseDuration(text)
		require.NoError(t, err, envAge)
		r.WriteUntil(t.Context(), d.taken.Add(age))
	}
	// Both first: after root alone they would be restored to what was already decided anew.
	for _, restored := range [][]string{{"root", "c1"}, {"c1"}, {"root"}} {
		require.NoError(t, r.Restore(t.Context(), d, restored...))
	}
	if len(journal.Passed) >= wholeRun {
		require.Empty(t, Short(journal.Passed))
	}
}

// testLog writes to a test's log.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(string(p[:max(len(p)-1, 0)]))
	return len(p), nil
}
