// SPDX-License-Identifier: Apache-2.0

package bases

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain makes the test's own program the one that keeps Go's build cache, where Go starts it as that.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "serve-go-cache" {
		if err := ServeGoCache(os.Args[2], os.Args[3], os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// TestTheCopiedCacheIsWhole: with what was copied, and without a network, another Go compiles nothing.
func TestTheCopiedCacheIsWhole(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, goTree(t.Context(), dir, "../../..", self+" serve-go-cache", []string{"./tools/cmd/oak"}))
	require.NoError(t, run(t.Context(), dir, nil, "tar", "-xf", "go.tar"))
	root := filepath.Join(dir, "usr/local/go")
	src := filepath.Join(dir, "src")
	require.NoError(t, run(t.Context(), "../../..", nil, "git", "worktree", "list")) // a checkout
	require.NoError(t, os.Mkdir(src, 0o755))
	require.NoError(t, exec.Command("bash", "-c", "cd ../../.. && git ls-files -z -c -o --exclude-standard | xargs -0 cp --parents -t "+src).Run())
	env := []string{"GOROOT=" + root, "GOCACHE=" + filepath.Join(dir, "gocache"), "GOMODCACHE=" + filepath.Join(dir, "mod"), "GOPROXY=file://" + filepath.Join(dir, "goproxy"),
		"GOSUMDB=off", "GOTOOLCHAIN=local", "CGO_ENABLED=0", "GOFLAGS=-modcacherw"}
	out, err := output(t.Context(), src, env, "bash", "-c", root+"/bin/go build -trimpath -x -o /dev/null ./tools/cmd/oak 2>&1")
	require.NoError(t, err)
	require.False(t, strings.Contains(out, "/compile "), "it compiles again")
}
