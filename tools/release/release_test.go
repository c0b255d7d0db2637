// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// at is the time of what tests release.
var at = time.Unix(1_700_000_000, 0)

const testVersion = "v1.2.3"

// shared is the release that all tests look at, since building one takes its time.
var shared struct {
	once     sync.Once
	dir      string
	packager string
	err      error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

func thisArch(t *testing.T) Arch {
	t.Helper()
	for _, a := range Archs() {
		if a.Name == runtime.GOARCH {
			return a
		}
	}
	t.Skipf("no release is for %s", runtime.GOARCH)
	return Arch{}
}

// built is the folder of a release for this machine.
func built(t *testing.T) string {
	t.Helper()
	arch := thisArch(t)
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "oak-release-test-"); shared.err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
		defer cancel()
		if shared.packager, shared.err = InstallPackager(ctx, shared.dir); shared.err != nil {
			return
		}
		_, shared.err = Build(ctx, Options{Source: "../..", Out: filepath.Join(shared.dir, "dist"), Version: testVersion, At: at, Archs: []Arch{arch}, Packager: shared.packager})
	})
	require.NoError(t, shared.err)
	return filepath.Join(shared.dir, "dist")
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %s:\n%s", name, strings.Join(args, " "), out)
	return string(out)
}

// unpacked is a new folder with an archive's files.
func unpacked(t *testing.T, name string) string {
	dir := t.TempDir()
	command(t, dir, "tar", "-xzf", filepath.Join(built(t), fmt.Sprintf("%s_%s.tar.gz", name, thisArch(t).Name)))
	return dir
}

func TestTheSameSourceGivesTheSameBytes(t *testing.T) {
	first := built(t)
	elsewhere := filepath.Join(t.TempDir(), "a folder of another name")
	require.NoError(t, os.Mkdir(elsewhere, 0o700))
	list := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = "../.."
	names, err := list.Output()
	if err != nil {
		t.Skip("this is no checkout, but an unpacked archive")
	}
	tree, err := filepath.Abs("../..")
	require.NoError(t, err)
	tar := exec.Command("tar", "-cf", "-", "--null", "--ignore-failed-read", "-C", tree, "-T", "-")
	tar.Stdin = bytes.NewReader(names)
	files, err := tar.Output()
	require.NoError(t, err)
	untar := exec.Command("tar", "-xf", "-", "-C", elsewhere)
	untar.Stdin = bytes.NewReader(files)
	require.NoError(t, untar.Run())
	require.NoFileExists(t, filepath.Join(elsewhere, ".git"))

	t.Setenv("TZ", "Asia/Tokyo")
	t.Setenv("GOFLAGS", "-race")
	second := filepath.Join(t.TempDir(), "out")
	names2, err := Build(t.Context(), Options{Source: elsewhere, Out: second, Version: testVersion, At: at, Archs: []Arch{thisArch(t)}, Packager: shared.packager})
	require.NoError(t, err)
	require.Greater(t, len(names2), 10)
	for _, name := range names2 {
		a, err := os.ReadFile(filepath.Join(first, name))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(second, name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(a, b), "%s differs", name)
	}
}

func TestSumsHold(t *testing.T) {
	dir := built(t)
	out := command(t, dir, "sha256sum", "--check", "--strict", sumsFile)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Equal(t, len(entries)-1, strings.Count(out, ": OK\n"), "every other file has its sum")
}

func TestArchivesHoldWhatAUserNeeds(t *testing.T) {
	for name, want := range map[string][]string{
		"NodeEngine": {"NodeEngine", "nodeengine.service", "nodeengine.env", "install.sh", "netcfg.json", "LICENSE", "README"},
		"NetManager": {"NetManager", "oak-net", "netmanager.service", "netmanager.env", "install.sh", "netcfg.json", "LICENSE", "README"},
		"oakestra": {"root-orchestrator", "cluster-orchestrator", "NodeEngine", "NetManager", "oak", "oak-net", "install.sh", "LICENSE", "README",
			"compose/1-DOC.yaml", "compose/root-orchestrator.yaml", "compose/cluster-orchestrator.yaml", "compose/postgres/cluster.sql"},
	} {
		dir := unpacked(t, name)
		if name == "oakestra" {
			dir = filepath.Join(dir, "oakestra_"+thisArch(t).Name)
		}
		for _, file := range want {
			st, err := os.Stat(filepath.Join(dir, file))
			require.NoError(t, err, name)
			require.Equal(t, at, st.ModTime().Local(), "%s: %s", name, file)
		}
		for program := range programs {
			if _, err := os.Stat(filepath.Join(dir, program)); err == nil {
				require.Equal(t, program+" "+testVersion, strings.TrimSpace(command(t, dir, "./"+program, "version")))
			}
		}
	}
}

func TestArmv7Builds(t *testing.T) {
	if os.Getenv("OAK_RELEASE_ALL") == "" {
		t.Skip("make release builds it; OAK_RELEASE_ALL=1 has this test do it")
	}
	arch := Archs()[2]
	require.NoError(t, compile(t.Context(), "../..", testVersion, arch, t.TempDir()))
}
