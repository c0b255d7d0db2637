// SPDX-License-Identifier: Apache-2.0

package blocks_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/docs/blocks"
)

// written makes a repository of one document, and the working folder.
func written(t *testing.T, lines ...string) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	require.NoError(t, os.WriteFile("go.mod", []byte("module m\n"), 0o600))
	require.NoError(t, os.Mkdir("docs", 0o700))
	require.NoError(t, os.WriteFile(filepath.Join("docs", "P.md"), []byte(page(lines...)), 0o600))
}

// within bounds a test's shells, on a busy machine too.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestBlocksShareOneShell(t *testing.T) {
	written(t, "'''sh one", "export WHO=world", "cd docs", "'''", "'''sh two", "printf 'hello %s, ' $WHO", "# a comment", "cat P.md | wc -l; cat",
		"echo oops >&2", "cat <<X", "  <as it is>", "X", "'''")
	out, err := blocks.Shell{}.Type(within(t), "docs/P.md", "one", "two")
	require.NoError(t, err)
	require.Equal(t, "hello world, 13\noops\n  <as it is>\n", out)
}

func TestAFailureNamesItsLine(t *testing.T) {
	for _, c := range []struct {
		lines []string
		fault string
	}{
		{[]string{"echo before", "", "false", "echo after"}, "docs/P.md:7 (block two): command ended with 1; it printed:\nbefore\n"},
		{[]string{"echo before", "no-such-command | cat", "echo after"}, "docs/P.md:6 (block two): command ended with 127; it printed:\nbefore\n"},
		{[]string{"if ( exit 3 ); then :; fi", "( exit 4 )"}, "docs/P.md:6 (block two): command ended with 4"},
		{[]string{"echo before", "echo $NOBODY_GAVE_IT"}, "docs/P.md:4 (block two): the shell ended within the block"},
		{[]string{"exit 0"}, "docs/P.md:4 (block two): the shell ended within the block"},
		{[]string{"if then"}, "docs/P.md:4 (block two): the shell ended within the block"},
	} {
		written(t, append(append([]string{"'''sh one", "echo first", "'''", "'''sh two"}, c.lines...), "'''")...)
		shell, err := blocks.Shell{}.Open()
		require.NoError(t, err)
		_, err = shell.Type(within(t), "docs/P.md", "one", "two")
		require.ErrorContains(t, err, c.fault)
		require.NotContains(t, err.Error(), "after")
		require.NotContains(t, err.Error(), "first", "another block's output")
		_, err = shell.Type(within(t), "docs/P.md", "one")
		require.ErrorContains(t, err, "docs/P.md:1 (block one): not typed")
		require.NoError(t, shell.Close())
	}
}

func TestPlacesHaveToBeFilled(t *testing.T) {
	written(t, "'''sh one", "echo <ADDRESS OF ROOT>:<PORT> <PORT>", "'''")
	_, err := blocks.Shell{Fill: map[string]string{"PORT": "1"}}.Type(within(t), "docs/P.md", "one")
	require.ErrorContains(t, err, "docs/P.md:1 (block one): nothing given for <ADDRESS OF ROOT>")
	out, err := blocks.Shell{Fill: map[string]string{"PORT": "1", "ADDRESS OF ROOT": "r"}}.Type(within(t), "docs/P.md", "one")
	require.NoError(t, err)
	require.Equal(t, "r:1 1\n", out)
}

func TestUnknownBlocksAreNoSuccess(t *testing.T) {
	written(t, "'''sh one", "true", "'''", "'''text", "x", "'''")
	for _, id := range []string{"two", ""} {
		_, err := blocks.Shell{}.Type(within(t), "docs/P.md", "one", id)
		require.ErrorContains(t, err, "docs/P.md: no block of commands has the id")
	}
	_, err := blocks.Shell{}.Type(within(t), "Q.md", "one")
	require.ErrorContains(t, err, "read document")
}

func TestABlockHasItsTime(t *testing.T) {
	written(t, "'''sh one", "echo begun", "sleep 1000", "'''")
	start := time.Now()
	_, err := blocks.Shell{Within: time.Second}.Type(within(t), "docs/P.md", "one")
	require.ErrorContains(t, err, "docs/P.md:1 (block one): not done in time")
	require.ErrorContains(t, err, "begun\n")
	require.Less(t, time.Since(start), 15*time.Second)
}

// TestTheBackgroundGoesOnUntilClose: between blocks what runs behind them runs on, and nothing of it is left afterwards.
func TestTheBackgroundGoesOnUntilClose(t *testing.T) {
	written(t, "'''sh start", "sleep 1000 & echo $!", "'''", "'''sh look", "kill -0 $!", "'''")
	shell, err := blocks.Shell{}.Open()
	require.NoError(t, err)
	out, err := shell.Type(within(t), "docs/P.md", "start")
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	require.NoError(t, err)
	_, err = shell.Type(within(t), "docs/P.md", "look")
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, 0))
	require.NoError(t, shell.Close())
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	require.True(t, err != nil || strings.Contains(string(stat), ") Z "), "it goes on: %s", stat)
	_, err = shell.Type(within(t), "docs/P.md", "look")
	require.ErrorContains(t, err, "not typed: the terminal is closed")
}

func TestTheShellIsWhereItIsPut(t *testing.T) {
	written(t, "'''sh one", "echo $HOME $PWD ${OTHER-}", "'''")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	var heard strings.Builder
	out, err := blocks.Shell{Prefix: []string{"env", "OTHER=o"}, Dir: dir, Env: []string{"HOME=h", "PATH=" + os.Getenv("PATH")}, Output: &heard}.Type(within(t), "docs/P.md", "one")
	require.NoError(t, err)
	require.Equal(t, "h "+dir+" o\n", out)
	require.Equal(t, out, heard.String())
	_, err = blocks.Shell{Prefix: []string{"no-such-program"}}.Type(within(t), "docs/P.md", "one")
	require.ErrorContains(t, err, "open a shell")
}

func TestOutputIsBounded(t *testing.T) {
	written(t, "'''sh one", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end", "'''")
	out, err := blocks.Shell{}.Type(within(t), "docs/P.md", "one")
	require.NoError(t, err)
	require.LessOrEqual(t, len(out), 64<<10)
	require.True(t, strings.HasSuffix(out, "x\nthe end\n"))
}

// TestADaemonIsLeft: what has made itself a session of its own outlives the shell, and Close does not wait for it.
func TestADaemonIsLeft(t *testing.T) {
	written(t, "'''sh one", `setsid -f sh -c 'echo $$ >pid; exec sleep 1000'`, "until test -s pid; do sleep 0.1; done", "cat pid", "'''")
	shell, err := blocks.Shell{}.Open()
	require.NoError(t, err)
	out, err := shell.Type(within(t), "docs/P.md", "one")
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	require.NoError(t, err, out)
	defer syscall.Kill(pid, syscall.SIGKILL)
	start := time.Now()
	require.NoError(t, shell.Close())
	require.Less(t, time.Since(start), 15*time.Second)
	require.NoError(t, syscall.Kill(pid, 0), "the daemon is gone")
	require.NoError(t, shell.Close(), "closing twice")
}
