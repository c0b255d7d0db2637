// SPDX-License-Identifier: Apache-2.0

package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// installed runs an archive's install.sh, for a root of its own.
func installed(t *testing.T, archive, root string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./install.sh", args...)
	cmd.Dir = unpacked(t, archive)
	cmd.Env = append(os.Environ(), "DESTDIR="+root)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestInstallScriptMayBeRunAgain(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "usr/lib/systemd/system"), 0o755))
	out, err := installed(t, "NodeEngine", root)
	require.NoError(t, err, out)
	require.Contains(t, out, "NetManager_"+thisArch(t).Name+".tar.gz", "it says what is missing")
	out, err = installed(t, "NetManager", root, thisArch(t).Name)
	require.NoError(t, err, out)
	require.NotContains(t, out, "is not here yet")
	for file, mode := range map[string]os.FileMode{
		"usr/local/bin/NodeEngine": 0o755, "usr/local/bin/NetManager": 0o755, "usr/local/bin/oak-net": 0o755, "etc/netmanager/netcfg.json": 0o644,
		"etc/oakestra/nodeengine.env": 0o644, "etc/oakestra/netmanager.env": 0o644,
		"etc/systemd/system/nodeengine.service": 0o644, "etc/systemd/system/netmanager.service": 0o644,
	} {
		st, err := os.Stat(filepath.Join(root, file))
		require.NoError(t, err)
		require.Equal(t, mode, st.Mode(), file)
	}
	config := filepath.Join(root, "etc/netmanager/netcfg.json")
	require.NoError(t, os.WriteFile(config, []byte(`{"ClusterUrl":"192.0.2.1"}`), 0o600))
	program := filepath.Join(root, "usr/local/bin/NodeEngine")
	before, err := os.Stat(program)
	require.NoError(t, err)
	out, err = installed(t, "NodeEngine", root)
	require.NoError(t, err, out)
	require.Contains(t, out, "NodeEngine is up to date")
	require.Contains(t, out, "netcfg.json is kept as it is")
	kept, err := os.ReadFile(config)
	require.NoError(t, err)
	require.JSONEq(t, `{"ClusterUrl":"192.0.2.1"}`, string(kept))
	after, err := os.Stat(program)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after))
	require.NoError(t, os.WriteFile(program, []byte("an older one"), 0o755)) //nolint:gosec // a program
	out, err = installed(t, "NodeEngine", root)
	require.NoError(t, err, out)
	require.NotContains(t, out, "NodeEngine is up to date")
	require.Contains(t, command(t, root, program, "version"), testVersion)
}

func TestInstallScriptWithoutSystemdLeavesUnitsOut(t *testing.T) {
	root := t.TempDir()
	out, err := installed(t, "NetManager", root)
	require.NoError(t, err, out)
	require.Contains(t, out, "there is no systemd here")
	require.NoDirExists(t, filepath.Join(root, "etc/systemd"))
}

func TestInstallScriptRefusesAnotherArchitecture(t *testing.T) {
	root := t.TempDir()
	for _, args := range [][]string{{"riscv64"}, {thisArch(t).Name, "more"}} {
		out, err := installed(t, "NodeEngine", root, args...)
		require.Error(t, err, strings.Join(args, " "))
		require.Contains(t, out, "install: ")
		entries, err := os.ReadDir(root)
		require.NoError(t, err)
		require.Empty(t, entries, "nothing was touched")
	}
}
