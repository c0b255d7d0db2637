// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/oakestra/oakestra-ebpf/tools/docs/blocks"
)

const blocksPackage = "github.com/oakestra/oakestra-ebpf/tools/docs/blocks"

// TestEveryCommandBlockIsRun: for each block of commands in any document there is a test that types it, or it is a step of CI.
func TestEveryCommandBlockIsRun(t *testing.T) {
	root, err := blocks.Root()
	require.NoError(t, err)
	claims, err := claimed(root)
	require.NoError(t, err)
	steps := stepsOfCI(t, root)
	files, err := blocks.Files(root)
	require.NoError(t, err)
	require.Contains(t, files, "README.md")
	for _, file := range files {
		found, err := blocks.Read(root, file)
		if err != nil {
			t.Error(err)
		}
		for _, b := range found {
			if b.Language != "sh" {
				continue
			}
			key := file + " " + b.ID
			if claims[key] == "" && !isStepOfCI(b, steps) {
				t.Errorf("%s: no test types it: call Type(ctx, %q, …, %q, …) in a test, or fence it as text if nobody is to type it", b.Place(), file, b.ID)
			}
			delete(claims, key)
		}
	}
	for key, by := range claims {
		t.Errorf("%s: types %q, which is no block of commands of that document", by, key)
	}
}

// claimed returns which blocks the tests type, "FILE ID", and where.
func claimed(root string) (map[string]string, error) {
	claims := map[string]string{}
	err := filepath.WalkDir(filepath.Join(root, "tools"), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && e.Name() == "blocks" {
			return fs.SkipDir // its tests are about documents of their own
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		body, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(body), blocksPackage) {
			return err
		}
		return claimsOf(path, body, claims)
	})
	return claims, err
}

// claimsOf adds what the calls of Type in one source name. What is not written out as a literal is a fault: it would be a claim that
// nobody can check.
func claimsOf(path string, body []byte, claims map[string]string) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, body, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	var fault error
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if fun, ok := call.Fun.(*ast.SelectorExpr); !ok || fun.Sel.Name != "Type" || len(call.Args) < 2 {
			return true
		}
		var words []string
		for _, arg := range call.Args[1:] {
			literal, ok := arg.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING || call.Ellipsis.IsValid() {
				fault = fmt.Errorf("%s: write the document and its blocks out as string literals", set.Position(arg.Pos()))
				return false
			}
			word, err := strconv.Unquote(literal.Value)
			if err != nil {
				fault = err
			}
			words = append(words, word)
		}
		for _, id := range words[1:] {
			claims[words[0]+" "+id] = set.Position(call.Pos()).String()
		}
		return true
	})
	return fault
}

// stepsOfCI returns the commands that CI runs: itself, what follows "step NAME" in its script, and the make targets that these are made of.
func stepsOfCI(t *testing.T, root string) map[string]bool {
	t.Helper()
	script, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	require.NoError(t, err)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	parts := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):([^#=\n]*)(?:##.*)?$`).FindAllStringSubmatch(string(makefile), -1) {
		parts[m[1]] = strings.Fields(m[2])
	}
	steps := map[string]bool{".ci/run": true}
	var made func(target string)
	made = func(target string) {
		if !steps["make "+target] {
			steps["make "+target] = true
			for _, part := range parts[target] {
				made(part)
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\s*(?:step "[^"]*" )?(make .*?)(?: &&.*)?$`).FindAllStringSubmatch(string(script), -1) {
		steps[m[1]] = true
		if target, plain := strings.CutPrefix(m[1], "make "); plain && !strings.Contains(target, " ") {
			delete(steps, m[1])
			made(target)
		}
	}
	require.True(t, steps["make test-unit"], "%v", steps)
	return steps
}

// isStepOfCI reports whether each command of a block is one that CI runs as it is.
func isStepOfCI(b blocks.Block, steps map[string]bool) bool {
	any := false
	for line := range strings.SplitSeq(b.Text, "\n") {
		command, _, _ := strings.Cut(line, "#")
		if command = strings.TrimSpace(command); command == "" {
			continue
		}
		if !steps[command] {
			return false
		}
		any = true
	}
	return any
}

func TestClaimsAreLiteral(t *testing.T) {
	claims := map[string]string{}
	const head = "package p\nfunc f() {\n"
	require.NoError(t, claimsOf("a_test.go", []byte(head+`x.Type(ctx, "A.md", "one", "two"); y.Other(ctx, id); z.Type()}`), claims))
	require.Equal(t, map[string]string{"A.md one": "a_test.go:3:1", "A.md two": "a_test.go:3:1"}, claims)
	for _, call := range []string{`x.Type(ctx, "A.md", id)`, `x.Type(ctx, file, "one")`, `x.Type(ctx, "A.md", ids...)`} {
		require.ErrorContains(t, claimsOf("a_test.go", []byte(head+call+"}"), claims), "string literals", call)
	}
}

func TestStepsOfCI(t *testing.T) {
	steps := map[string]bool{"make test": true}
	require.True(t, isStepOfCI(blocks.Block{Text: "# all\nmake test    # long\n\n"}, steps))
	require.False(t, isStepOfCI(blocks.Block{Text: "make test\nrm x\n"}, steps))
	require.False(t, isStepOfCI(blocks.Block{Text: "# nothing\n"}, steps))
}
