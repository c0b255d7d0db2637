// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSettingsTakeTheirExamplesPlace(t *testing.T) {
	text := "# what it is\n#OAK_NAME=example\nOAK_A=1\n"
	got := withSettings(text, map[string]string{"OAK_NAME": "c1", "OAK_A": "2", "OAK_B": "3"})
	require.Equal(t, "# what it is\nOAK_NAME=c1\nOAK_A=2\nOAK_B=3\n", got)
	require.Equal(t, got, withSettings(got, map[string]string{"OAK_NAME": "c1", "OAK_A": "2", "OAK_B": "3"}), "again, it is the same")
	file := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	set, err := settings(file)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"OAK_NAME": "c1", "OAK_A": "2", "OAK_B": "3"}, set)
}

// TestUnitsAndSettingsBelongToTheirService: a variable of another prefix would be passed over in silence.
func TestUnitsAndSettingsBelongToTheirService(t *testing.T) {
	for _, s := range []Service{Root, Cluster, Engine, Net} {
		unit := string(File(s.Unit()))
		require.Contains(t, unit, "\nExecStart="+s.Program)
		require.Contains(t, unit, "EnvironmentFile=-"+s.envFile()+"\n")
		require.Contains(t, unit, "StateDirectory="+strings.TrimPrefix(s.State, "/var/lib/")+"\n")
		require.Contains(t, unit, "\nRestart=always\n")
		require.Contains(t, unit, "\nNoNewPrivileges=yes\n")
		require.Equal(t, s.User != "", strings.Contains(unit, "\nUser="+s.User+"\n"))
		require.Equal(t, s.User != "", strings.Contains(unit, "\nCapabilityBoundingSet=\n"))
		for line := range strings.Lines(string(File(s.Env()))) {
			name, _, ok := strings.Cut(strings.TrimPrefix(line, "#"), "=")
			if ok && strings.HasPrefix(name, "OAK") {
				require.True(t, strings.HasPrefix(name, s.EnvPrefix), "%s: %s", s.Env(), name)
			}
		}
	}
}

func TestPasswordsStandInNoFileThatAllMayRead(t *testing.T) {
	bare, password, err := withoutPassword("postgres://me:p%40ss@db:5432/oak?sslmode=require")
	require.NoError(t, err)
	require.Equal(t, "postgres://me@db:5432/oak?sslmode=require", bare)
	require.Equal(t, "p@ss", password)
	_, _, err = withoutPassword("host=db password=secret")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}

func TestDryRunTellsAndDoesNothing(t *testing.T) {
	from := t.TempDir()
	var out bytes.Buffer
	require.NoError(t, Install(t.Context(), Options{Root: true, Cluster: true, Worker: true, Name: "c1", From: from, DryRun: true, Out: &out}))
	for _, want := range []string{"/usr/local/bin/root-orchestrator\n", "CREATE DATABASE \"oakestra-cluster\"", "useradd --system", "OAK_NAME=c1", "token create", "# nothing was done\n"} {
		require.Contains(t, out.String(), want)
	}
	out.Reset()
	require.NoError(t, Uninstall(t.Context(), Removal{Options: Options{Root: true, Cluster: true, Worker: true, DryRun: true, Out: &out}, Purge: true}))
	for _, want := range []string{"NodeEngine uninstall --purge\n", "rm -rf /var/lib/oakestra/root\n", "userdel oakestra-cluster\n"} {
		require.Contains(t, out.String(), want)
	}
	require.Less(t, strings.Index(out.String(), "NodeEngine uninstall"), strings.Index(out.String(), "NetManager uninstall"), "containers go first")
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	for want, o := range map[string]Options{
		"--name":       {Cluster: true, RootURL: "https://192.0.2.1:10000", ClusterToken: "t"},
		"--root-url":   {Cluster: true, Name: "c1", ClusterToken: "t"},
		"--token-file": {Worker: true},
		"--database":   {Root: true, Database: "db"},
		"dollar":       {Root: true, RootNames: []string{"$HOME"}},
	} {
		o.DryRun, o.Out, o.From = true, io.Discard, t.TempDir()
		if want == "--token-file" {
			if _, err := os.Stat(filepath.Join(ConfigDir, workerToken)); err == nil {
				continue // this machine has one
			}
		}
		require.ErrorContains(t, Install(t.Context(), o), want)
	}
}

func TestProcessesOfAProgramEnd(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	program := filepath.Join(t.TempDir(), "sleep")
	text, err := os.ReadFile(sleep)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(program, text, 0o755)) //nolint:gosec // a program
	other := exec.Command(sleep, "600")
	require.NoError(t, other.Start())
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	mine := exec.Command(program, "600")
	require.NoError(t, mine.Start())
	gone := make(chan error, 1)
	go func() { gone <- mine.Wait() }()
	t.Cleanup(func() { _ = mine.Process.Kill() })
	require.Eventually(t, func() bool { pids, err := running(program); return err == nil && len(pids) == 1 }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, os.Remove(program), "also of one whose file is gone")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	some, err := end(ctx, program)
	require.NoError(t, err)
	require.True(t, some)
	select {
	case <-gone:
	case <-ctx.Done():
		t.Fatal("it runs on")
	}
	some, err = end(ctx, program)
	require.NoError(t, err)
	require.False(t, some)
	pids, err := running(sleep)
	if resolved, err2 := filepath.EvalSymlinks(sleep); err2 == nil {
		pids, err = running(resolved)
	}
	require.NoError(t, err)
	require.Contains(t, pids, other.Process.Pid, "another program of that name is none of ours")
}
