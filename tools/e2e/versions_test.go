// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/testbed"
)

// previousFile names the commit that stands for the version before where no tag does.
const previousFile = "previous-version"

// TestVersionsMeet runs the version before beside this one: its workers with this cluster, and its cluster with these workers and this
// root. What is deployed runs and is reached, more and less can be asked for, and a restart of the old part loses nothing.
func TestVersionsMeet(t *testing.T) {
	old := previous(t)
	for name, programs := range map[string][]string{
		"OldWorkers": {"NodeEngine", "NetManager"},
		"OldCluster": {"cluster-orchestrator"},
	} {
		t.Run(name, func(t *testing.T) {
			s := raiseWith(t, 2, ipv4, func(o *testbed.Options) {
				o.Elsewhere = map[string]string{}
				for _, p := range programs {
					o.Elsewhere[p] = old
				}
			})
			application(t, s, "hello.json")
			deploy(t, s, "client", 1)
			deploy(t, s, "server", 3)
			v, err := s.Service(t.Context(), "server")
			require.NoError(t, err)
			settle(t, s, v.RoundRobin, 3)
			before := tasks(t, s)
			for _, p := range programs {
				parts := []string{p + "@c1"}
				if name == "OldWorkers" {
					parts = onWorkers(s, p)
				}
				fault(t, testbed.Restart, parts...)
			}
			oneMore(t, s)
			settle(t, s, v.RoundRobin, 3)
			sameTasks(t, s, before)
			remove(t, s, "hello")
			until(t, rebootTime, noTasks(t, s))
		})
	}
}

// previous builds the programs of the version before, in a folder that goes with the test: of the last tag before this commit or, where there is
// none, of the commit that testdata names.
func previous(t *testing.T) (dir string) {
	t.Helper()
	git := func(args ...string) (string, error) {
		out, err := exec.Command("git", append([]string{"-C", repo}, args...)...).Output() //nolint:gosec // our own arguments
		return strings.TrimSpace(string(out)), err
	}
	revision, err := git("describe", "--tags", "--abbrev=0", "HEAD^")
	if err != nil {
		raw, err := os.ReadFile(filepath.Join("testdata", previousFile))
		require.NoError(t, err)
		revision = strings.TrimSpace(string(raw))
	}
	source := t.TempDir()
	archive, err := exec.Command("git", "-C", repo, "archive", revision).Output() //nolint:gosec // our own arguments
	if err != nil {
		t.Skipf("needs the repository with its history, of which this checkout lacks revision %s: %v", revision, err)
	}
	unpack := exec.Command("tar", "-x", "-C", source)
	unpack.Stdin = bytes.NewReader(archive)
	require.NoError(t, unpack.Run())
	dir = t.TempDir()
	build := exec.Command("go", "build", "-o", dir+"/", "./nodeengine/cmd/NodeEngine", "./dataplane/cmd/NetManager",
		"./orchestrators/cmd/cluster-orchestrator")
	build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	t.Logf("the version before is %s", revision)
	return dir
}
