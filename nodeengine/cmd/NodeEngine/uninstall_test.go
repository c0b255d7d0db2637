// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/control/wire"
	"github.com/oakestra/oakestra-ebpf/nodeengine/join"
)

// uninstall runs the command on the rig's worker.
func (g *rig) uninstall(more ...string) (string, error) {
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{"uninstall", "--state-dir", filepath.Join(g.dir, "state"), "--run-dir", filepath.Join(g.dir, "run"),
		"--containerd", g.socket, "--stop-grace", "300ms"}, more...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// traces lists what a worker leaves outside of its state folder.
func (g *rig) traces(worker string) (out []string) {
	g.t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(g.t, err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, filepath.Join(g.dir, "run")) {
			out = append(out, line)
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/oakestra/", "/sys/fs/cgroup/*/oakestra/"} {
		found, err := filepath.Glob(pattern + worker[:12])
		require.NoError(g.t, err)
		out = append(out, found...)
	}
	if _, err := os.Stat(filepath.Join(g.dir, "run")); err == nil {
		out = append(out, "run folder")
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), 10*time.Second)
	defer cancel()
	spaces, err := g.client.NamespaceService().List(ctx)
	require.NoError(g.t, err)
	if slices.Contains(spaces, "oakestra") {
		out = append(out, "containerd's namespace")
	}
	return out
}

func TestUninstallLeavesTheStateFolderAlone(t *testing.T) {
	g := newRig(t)
	out, err := g.uninstall()
	require.NoError(t, err, "a worker that has never run: %s", out)
	g.start()
	stay, once := g.instance(), g.instance("exit", "0")
	once.Spec.OneShot = true
	g.cluster.publish([]wire.DesiredInstance{stay, once})
	g.await(stay, wire.StateRunning)
	g.await(once, wire.StateCompleted)
	id, err := join.Load(filepath.Join(g.dir, "state"))
	require.NoError(t, err)
	pid := int(g.pid(stay))

	out, err = g.uninstall()
	require.Error(t, err)
	require.Contains(t, out, "another NodeEngine uses this --state-dir")
	require.Equal(t, pid, int(g.pid(stay)), "nothing was touched")

	g.end(syscall.SIGKILL)
	require.Greater(t, len(g.traces(id.WorkerID)), 3)
	out, err = g.uninstall()
	require.NoError(t, err, out)
	require.Empty(t, g.traces(id.WorkerID))
	require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	out, err = g.uninstall()
	require.NoError(t, err, "there is nothing left to do: %s", out)

	g.start()
	g.await(stay, wire.StateRunning)
	again, err := join.Load(filepath.Join(g.dir, "state"))
	require.NoError(t, err)
	require.Equal(t, id.WorkerID, again.WorkerID, "it is the same worker")
	g.end(syscall.SIGTERM)
	out, err = g.uninstall("--purge")
	require.NoError(t, err, out)
	require.NoDirExists(t, filepath.Join(g.dir, "state"))
	require.Empty(t, g.traces(id.WorkerID))
}
