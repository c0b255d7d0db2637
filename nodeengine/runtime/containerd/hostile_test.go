// SPDX-License-Identifier: Apache-2.0

package containerd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oakestra/oakestra-ebpf/nodeengine/runtime"
)

// TestContainersThatCannotStart tries each twice, as the agent does, and then removes it: each time the reason is told, and nothing
// is left.
func TestContainersThatCannotStart(t *testing.T) {
	g := newRig(t)
	g.connect()
	t.Cleanup(func() { _ = g.Close() })
	for name, c := range map[string]struct {
		change func(*runtime.Instance)
		want   string
	}{
		"no such command": {func(in *runtime.Instance) { in.Spec.Cmd = []string{"/absent", "x"} }, "no such file"},
		"not in path":     {func(in *runtime.Instance) { in.Spec.Cmd = []string{"absent"} }, "not found"},
		"empty command":   {func(in *runtime.Instance) { in.Spec.Cmd = []string{""} }, ""},
		"a folder":        {func(in *runtime.Instance) { in.Spec.Cmd = []string{"/etc"} }, ""},
		"1 MiB of memory": {func(in *runtime.Instance) { in.Spec.MemoryMB = 1 }, "memory"},
		"more than there is": {func(in *runtime.Instance) {
			in.Spec.VCPUs, in.Spec.MemoryMB = 4096, 1<<24 // the descriptor's bounds
		}, "none"},
	} {
		in := g.instance(40)
		c.change(&in)
		id := in.ID()
		if err := g.Pull(t.Context(), in.Spec); err != nil {
			t.Fatal(err)
		}
		path, err := g.netns.Create(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			began := time.Now()
			err := g.Create(t.Context(), in, path)
			if err == nil {
				err = g.Start(t.Context(), id, nameserver)
			}
			switch {
			case c.want == "none":
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			case err == nil || !strings.Contains(err.Error(), c.want):
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s: took %s", name, took)
			}
			t.Logf("%s: %v", name, err)
		}
		if err := errors.Join(g.Remove(t.Context(), id), g.netns.Remove(id), g.DropLog(id)); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Inspect(t.Context(), id); !errors.Is(err, runtime.ErrNotFound) {
			t.Errorf("%s: container is left: %v", name, err)
		}
		if _, err := g.client.SnapshotService(g.snapshotter).Stat(t.Context(), id); err == nil {
			t.Errorf("%s: snapshot is left", name)
		}
		for _, pattern := range []string{cgroupRoot + "/*" + g.cgroupPath(id), cgroupRoot + g.cgroupPath(id), g.logPath(id) + "*",
			g.filesDir(id), g.runcRoot() + "/*/" + id, g.netns.Path(id)} {
			if left, _ := filepath.Glob(pattern); len(left) > 0 {
				t.Errorf("%s: left: %v", name, left)
			}
		}
		if mounts, _ := os.ReadFile("/proc/self/mounts"); strings.Contains(string(mounts), id) {
			t.Errorf("%s: mounts are left", name)
		}
	}
}
