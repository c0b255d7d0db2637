// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/oakestra/oakestra-ebpf"

// pkg is what `go list` says of a package.
type pkg struct {
	ImportPath, Name, Doc              string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
}

// folder is the package's folder below the module's root.
func (p pkg) folder() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Doc,GoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		all = append(all, p)
	}
	require.NotEmpty(t, all)
	return all
}

// mayImport is the picture of imports: a top-level folder and which others it may use. It has no circle.
var mayImport = map[string][]string{
	"tools":         {"control", "bpf"},
	"orchestrators": {"control"},
	"nodeengine":    {"control"},
	"dataplane":     {"control", "bpf"},
	"bpf":           {},
	"control":       {},
}

func TestImportsFollowThePicture(t *testing.T) {
	for _, p := range packages(t) {
		top, _, _ := strings.Cut(p.folder(), "/")
		allowed, ok := mayImport[top]
		if !ok {
			t.Errorf("%s lies outside the folders of the picture", p.ImportPath)
			continue
		}
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			below, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			other, _, _ := strings.Cut(below, "/")
			if other != top && !slices.Contains(allowed, other) {
				t.Errorf("%s imports %s: %s may import %v and itself", p.ImportPath, imported, top, allowed)
			}
		}
	}
}

// TestOakSeesControlAlone: oak is what users get; it has to work wherever Go does, without BPF. Only the doctor looks into the machine that
// it runs on, and only where that is Linux.
func TestOakSeesControlAlone(t *testing.T) {
	for _, p := range packages(t) {
		if f := p.folder(); f != "tools/cmd/oak" && !strings.HasPrefix(f, "tools/oak/") {
			continue
		}
		for _, imported := range p.Imports {
			below, ours := strings.CutPrefix(imported, module+"/")
			if ours && !strings.HasPrefix(below, "control/") && !strings.HasPrefix(below, "tools/oak/") && below != "tools/doctor" {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
}

// TestWireIsAtTheBottom: the messages between the tiers depend on nothing of ours.
func TestWireIsAtTheBottom(t *testing.T) {
	for _, p := range packages(t) {
		if p.folder() != "control/wire" {
			continue
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, module) {
				t.Errorf("control/wire imports %s", imported)
			}
		}
	}
}

func TestEveryPackageHasADoc(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && len(strings.Fields(p.Doc)) < 4 {
			t.Errorf("%s has no package doc that says what it owns", p.ImportPath)
		}
	}
}

func TestNoPackageIsNamedForNothing(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range []string{p.Name, path.Base(p.ImportPath)} {
			switch strings.TrimSuffix(strings.ToLower(name), "_test") {
			case "util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "base", "shared", "types":
				t.Errorf("%s: name it for what it owns, not %q", p.ImportPath, name)
			}
		}
	}
}
