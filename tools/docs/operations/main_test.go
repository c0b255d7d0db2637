// SPDX-License-Identifier: Apache-2.0

package operations

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/e2e/scene"
	"github.com/oakestra/oakestra-ebpf/tools/testbed"
	"github.com/oakestra/oakestra-ebpf/tools/testbed/proc"
)

const repo = "../../.."

// TestMain builds the programs, so that what is tested is what is in the tree.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Println("the testbed makes network namespaces and loads BPF programs: run these tests as root")
		os.Exit(1)
	}
	// Calls to the testbed's own addresses go nowhere near the proxy of the user's shell.
	for _, v := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		_ = os.Unsetenv(v) // fails for no valid name
	}
	cmd := exec.Command("make", "--no-print-directory", "--silent", "-C", repo, "build")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Printf("build the programs: %v\n%s", err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// raise brings a testbed of one cluster with two workers up, and takes it down when the test ends.
func raise(t *testing.T) *scene.Scene {
	t.Helper()
	bin := repoBin(t)
	self, err := proc.Find(os.Getpid())
	require.NoError(t, err)
	o := testbed.Options{Dir: testbed.DefaultDir, Bin: bin, Self: filepath.Join(bin, "oak-testbed"), Clusters: 1, Workers: 2, Owner: &self}
	t.Cleanup(func() { require.NoError(t, testbed.Down(context.Background(), o.Dir)) })
	tb, err := testbed.Up(t.Context(), o)
	require.NoError(t, err)
	s, err := scene.New(t.Context(), tb, bin, t.TempDir())
	require.NoError(t, err)
	_, err = s.PushImages(t.Context())
	require.NoError(t, err)
	return s
}

// deployed creates the application of a descriptor in testdata and waits until n instances of each of its services run.
func deployed(t *testing.T, s *scene.Scene, file string, n int, services ...string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", file))
	require.NoError(t, err)
	_, err = s.API.CreateApplication(t.Context(), raw)
	require.NoError(t, err)
	for _, name := range services {
		v, err := s.Service(t.Context(), name)
		require.NoError(t, err)
		for range n {
			require.NoError(t, s.API.AddInstance(t.Context(), v.ID))
		}
	}
	for _, name := range services {
		running(t, s, name, n)
	}
}

// running waits until so many instances of a service run.
func running(t *testing.T, s *scene.Scene, name string, n int) {
	t.Helper()
	require.NoError(t, scene.Until(t.Context(), time.Minute, func(ctx context.Context) error {
		v, err := s.Service(ctx, name)
		if err != nil {
			return err
		}
		got, err := s.Containers(ctx, string(v.ID))
		if err != nil {
			return err
		}
		if len(got) != n || len(v.Instances) != n {
			return fmt.Errorf("%s has %d containers and %d instances, not %d", name, len(got), len(v.Instances), n)
		}
		for _, i := range v.Instances {
			if i.Status != "RUNNING" {
				err = errors.Join(err, fmt.Errorf("instance %d of %s is %s (%s)", i.Number, name, i.Status, i.StatusDetail))
			}
		}
		return err
	}))
}

// tasks are the processes of all containers, by container.
func tasks(t *testing.T, s *scene.Scene) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, w := range s.Testbed.Hosts(testbed.RoleWorker) {
		found, err := s.Testbed.Tasks(t.Context(), w.Name)
		require.NoError(t, err)
		for id, pid := range found {
			all[id] = pid
		}
	}
	return all
}
