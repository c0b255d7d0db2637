// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEveryKindIsWholeAndUsed holds the catalogue against the code: what a check finds has a kind, and each kind is found by a check.
func TestEveryKindIsWholeAndUsed(t *testing.T) {
	known := map[string]bool{}
	for _, k := range Kinds() {
		require.False(t, known[k.ID], "%s is there twice", k.ID)
		known[k.ID] = true
		require.Contains(t, []Severity{Error, Warning}, k.Severity, k.ID)
		require.NotEmpty(t, k.What, k.ID)
		require.NotEmpty(t, k.Why, k.ID)
		require.NotEmpty(t, k.Cure, k.ID)
		require.NotRegexp(t, `\.$`, k.What+k.Why, k.ID)
	}
	for _, k := range Kinds() {
		for _, hidden := range k.Hides {
			require.True(t, strings.HasSuffix(hidden, "*") || known[hidden], "%s hides %s, which there is not", k.ID, hidden)
			require.NotEqual(t, k.ID, hidden)
		}
	}
	used := map[string]bool{}
	for id, values := range findings(t) {
		require.True(t, known[id], "%s is found, and no kind", id)
		used[id] = true
		for _, name := range regexp.MustCompile(`\{([a-z]+)\}`).FindAllStringSubmatch(strings.Join(kindOf(id).Cure, "\n"), -1) {
			if name[1] == "unit" {
				name[1] = "program"
			}
			for _, given := range values {
				require.True(t, given == nil || slices.Contains(given, name[1]), "%s: a check that finds it does not say %q", id, name[1])
			}
		}
	}
	for id := range known {
		require.True(t, used[id] || slices.Contains([]string{"rp-filter", "forwarding-off"}, id), "nothing finds %s", id)
	}
}

// findings reads the calls of found in this package: for each id the names that its cures are filled with, nil where they are not literal.
func findings(t *testing.T) map[string][][]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	out := map[string][][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 3 {
				return true
			}
			called, ok := call.Fun.(*ast.SelectorExpr)
			literal, isText := call.Args[0].(*ast.BasicLit)
			if !ok || called.Sel.Name != "found" || !isText {
				return true
			}
			id, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			var names []string
			switch v := call.Args[1].(type) {
			case *ast.CompositeLit:
				names = []string{}
				for i := 0; i < len(v.Elts); i += 2 {
					name, err := strconv.Unquote(v.Elts[i].(*ast.BasicLit).Value)
					require.NoError(t, err)
					names = append(names, name)
				}
			case *ast.Ident:
				if v.Name == "nil" {
					names = []string{}
				}
			}
			out[id] = append(out[id], names)
			return true
		})
	}
	return out
}

func TestPageIsThatOfTheCode(t *testing.T) {
	raw, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.Contains(t, string(raw), Begin+Page()+End, "run go generate ./tools/doctor")
}
