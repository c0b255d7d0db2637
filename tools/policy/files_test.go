// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root returns the repository's root folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "go.mod"))
	return dir
}

// files returns the content of the repository's text files by slash-separated path: of all that are not in a hidden or built
// folder those that git does not ignore. The folders are always walked, so that a new file makes go test run again.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	dir := root(t)
	names := walk(t, dir)
	cmd := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = dir
	if list, err := cmd.Output(); err == nil { // else this is no checkout, but an unpacked archive
		kept := map[string]bool{}
		for name := range strings.SplitSeq(string(list), "\x00") {
			kept[name] = true
		}
		names = slices.DeleteFunc(names, func(name string) bool { return !kept[name] })
	}
	out := map[string][]byte{}
	for _, name := range names {
		body, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed while the test runs
		}
		require.NoError(t, err)
		if !bytes.Contains(body[:min(len(body), 8000)], []byte{0}) {
			out[name] = body
		}
	}
	require.Contains(t, out, "go.mod")
	return out
}

func walk(t *testing.T, dir string) []string {
	var names []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if e.IsDir() && (name == "bin" || name == "dist" || name == ".git") {
			return fs.SkipDir
		}
		if e.Type().IsRegular() {
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	}))
	return names
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// isGenerated reports whether a file is a tool's work.
func isGenerated(name string, body []byte) bool {
	return generated.Match(body) || filepath.Base(name) == "vmlinux.h" || filepath.Base(name) == "go.sum"
}

func TestEverySourceHasItsLicenceLine(t *testing.T) {
	const apache = "SPDX-License-Identifier: Apache-2.0"
	// The helpers that BPF programs call ask for a licence compatible with the kernel's.
	const kernel = "SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause"
	for name, body := range files(t) {
		want := ""
		switch filepath.Ext(name) {
		case ".go", ".sql", ".sh":
			want = apache
		case ".c", ".h": // BPF programs, all of them
			want = kernel
		}
		if want == "" || isGenerated(name, body) {
			continue
		}
		// A shell script begins with its interpreter, a C header may be a comment block.
		head := string(body[:min(len(body), 300)])
		if !strings.Contains(head, want) {
			t.Errorf("%s: its first lines lack %q", name, want)
		}
	}
}

func TestFilesStaySmall(t *testing.T) {
	const most = 15_000
	for name, body := range files(t) {
		switch filepath.Ext(name) {
		case ".go", ".c", ".h", ".sql", ".sh":
		default:
			continue
		}
		if len(body) > most && !isGenerated(name, body) {
			t.Errorf("%s: %d bytes, %d at most: split it by concept", name, len(body), most)
		}
	}
}

// TestNothingDependsOnOneMachine looks for absolute paths of a developer's or a build machine, which mean nothing elsewhere.
func TestNothingDependsOnOneMachine(t *testing.T) {
	machine := regexp.MustCompile(`(^|[\s"'=:(` + "`" + `])/(home|work|workspace|Users|root)/[A-Za-z0-9_.-]`)
	for name, body := range files(t) {
		if strings.HasPrefix(name, "tools/policy/") || isGenerated(name, body) {
			continue
		}
		for i, line := range strings.Split(string(body), "\n") {
			if machine.MatchString(line) {
				t.Errorf("%s:%d: path of one machine: %s", name, i+1, strings.TrimSpace(line))
			}
		}
	}
}

// TestTopLevelStaysAsItIs: a newcomer finds the same few folders that ARCHITECTURE.md describes.
func TestTopLevelStaysAsItIs(t *testing.T) {
	allowed := map[string]bool{
		"bpf": true, "dataplane": true, "control": true, "nodeengine": true, "orchestrators": true, "tools": true,
		"go.mod": true, "go.sum": true, "Makefile": true, "Dockerfile": true,
		"README.md": true, "ARCHITECTURE.md": true, "CONTRIBUTING.md": true, "LICENSE": true,
	}
	seen := map[string]bool{}
	for name := range files(t) {
		top, _, _ := strings.Cut(name, "/")
		if !allowed[top] && !strings.HasPrefix(top, ".") && !seen[top] {
			t.Errorf("%s is none of the top-level folders: put it into one of them", top)
		}
		seen[top] = true
	}
}
