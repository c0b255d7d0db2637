// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/bpf"
)

// insertions are the fields that the other build's maps have and ours do not, by the line that each comes after.
var insertions = map[string]string{
	"\nstruct oak_ct {\n":      "\t__u64 of_another_build;\n",
	"\nstruct oak_backend {\n": "\t__u64 of_another_build;\n",
	"\nstruct oak_config {\n":  "\t__u32 of_another_build;\n",
}

// otherBuild compiles this test's program, which can be a NetManager, from sources with other maps: the programs with the compiler that makes
// ours, and Go with the types that are cut from those.
func otherBuild(t *testing.T) (exe string) {
	t.Helper()
	program(t, "clang", "clang")
	sources, err := filepath.Abs("../../bpf")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "include"), os.DirFS(filepath.Join(sources, "include"))))
	programs, err := filepath.Glob(filepath.Join(sources, "*.c"))
	require.NoError(t, err)
	for _, path := range programs {
		source, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(path)), source, 0o600))
	}
	types := filepath.Join(dir, "include", "types.h")
	header, err := os.ReadFile(types)
	require.NoError(t, err)
	for after, field := range insertions {
		require.Equal(t, 1, bytes.Count(header, []byte(after)), after)
		header = bytes.Replace(header, []byte(after), []byte(after+field), 1)
	}
	require.NoError(t, os.WriteFile(types, header, 0o600))
	run(t, sources, "./generate.sh", dir)

	// Go takes these files for those of package bpf.
	generated, err := filepath.Glob(filepath.Join(dir, "*_bpfel.*"))
	require.NoError(t, err)
	require.NotEmpty(t, generated)
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for _, path := range generated {
		overlay.Replace[filepath.Join(sources, filepath.Base(path))] = path
	}
	raw, err := json.Marshal(overlay)
	require.NoError(t, err)
	list := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(list, raw, 0o600))
	exe = filepath.Join(dir, "other.test")
	run(t, ".", "go", "test", "-c", "-overlay", list, "-o", exe, ".")

	ours, err := bpf.Version()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), versionVar+"=1")
	theirs, err := cmd.Output()
	require.NoError(t, err)
	require.Len(t, string(theirs), len(ours))
	require.NotEqual(t, ours, string(theirs), "the other build has the same maps")
	return exe
}

// versionVar has the test binary tell the version of its maps.
const versionVar = "OAK_TEST_VERSION"

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), out)
}
